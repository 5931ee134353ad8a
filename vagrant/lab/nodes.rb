# What the three machines are. Everything else in this directory asks here.
module Lab
  LAN = '10.77.0'.freeze
  CEPH = '10.78.0'.freeze
  LAN_NETWORK = 'slipway-lan'.freeze
  CEPH_NETWORK = 'slipway-ceph'.freeze
  PREFIX = 'slipway_'.freeze
  CEPH_DISK = '12G'.freeze
  # Where the emulation's machines can be reached from; nil: from everywhere on this machine.
  NAMESPACE = ENV['SLIPWAY_LAB_NETNS']
  EMULATED = !NAMESPACE.nil?

  Node = Struct.new(:name, :number) do
    def lan_mac
      format('58:47:ca:00:%02x:01', number)
    end

    def ceph_mac
      format('58:47:ca:00:%02x:02', number)
    end

    def lan
      "#{LAN}.#{10 + number}"
    end

    def ceph
      "#{CEPH}.#{10 + number}"
    end

    # In the order in which libvirt knows them: vda, vdb, vdc.
    def serials
      ["LAB-OS-#{number}", "LAB-CEPH-#{number}1", "LAB-CEPH-#{number}2"]
    end

    def domain
      PREFIX + name
    end
  end

  NODES = %w[node-a node-b node-c].each_with_index.map { |name, i| Node.new(name, i + 1) }.freeze

  def self.node(name)
    NODES.find { |node| node.name == name.to_s }
  end
end
