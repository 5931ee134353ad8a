# The inventory that leads Slipway to the machines, with ssh_config and known_hosts beside it.
require 'fileutils'
require_relative 'nodes'

module Lab
  module Files
    HOME = File.expand_path('..', __dir__)
    NAMES = %w[inventory.toml ssh_config known_hosts].freeze

    # One machine knows its own part only; the parts lie in its Vagrant directory, and end with it.
    def self.write(machine)
      node = Lab.node(machine.name)
      key = +''
      machine.communicate.execute('cat /etc/ssh/ssh_host_ed25519_key.pub') { |type, text| key << text if type == :stdout }
      File.write(machine.data_dir.join('slipway_known_host'), "#{node.lan} #{key.split.first(2).join(' ')}\n")
      File.write(machine.data_dir.join('slipway_ssh'), ssh(machine, node))
      put('known_hosts', parts(machine, 'slipway_known_host'))
      put('ssh_config', parts(machine, 'slipway_ssh') + rest)
      put('inventory.toml', inventory)
    end

    def self.remove
      NAMES.each { |name| FileUtils.rm_f(File.join(HOME, name)) }
    end

    def self.put(name, text)
      path = File.join(HOME, name)
      File.write("#{path}.new", text)
      File.rename("#{path}.new", path)
    end

    def self.parts(machine, name)
      NODES.map do |node|
        path = machine.data_dir.join('../..', node.name, 'libvirt', name)
        path.file? ? path.read : ''
      end.join
    end

    def self.ssh(machine, node)
      info = machine.ssh_info
      keys = Array(info[:private_key_path])
      # OpenSSH takes no key that others may read, and a box's may come so.
      keys.each { |key| FileUtils.chmod(0o600, key) if File.owned?(key) }
      "Host #{node.name} #{node.lan}\n  HostName #{node.lan}\n  User #{info[:username]}\n" +
        keys.map { |key| "  IdentityFile \"#{key}\"\n" }.join
    end

    def self.rest
      # The emulation's network is in a namespace: this leads there from outside.
      way = EMULATED ? "  ProxyCommand ip netns exec #{NAMESPACE} nc %h %p\n" : ''
      "Host *\n  UserKnownHostsFile \"#{HOME}/known_hosts\"\n  GlobalKnownHostsFile none\n" \
        "  IdentityAgent none\n  IdentitiesOnly yes\n  StrictHostKeyChecking yes\n#{way}"
    end

    def self.inventory
      <<~TOML + NODES.map { |node| entry(node) }.join
        # Made by `vagrant up`; the machines of vagrant/README.md.
        [cluster]
        name = "vagrant"
        kubernetes = "1.36.4"
        endpoint = { host = "k8s-api.lab.home", port = 6443, kind = "keepalived", vip = "#{LAN}.10", vrid = 51 }

        [ssh]
        config = "ssh_config"

        [network.lan]
        cidr = "#{LAN}.0/24"
        gateway = "#{LAN}.1"
        #{EMULATED ? "ntp = [\"#{LAN}.1\"]" : "dns = [\"#{LAN}.1\"]"}

        [network.ceph]
        cidr = "#{CEPH}.0/24"
        mtu = 9000

        [cni]
        kind = "bridge"
      TOML
    end

    def self.entry(node)
      os, *ceph = node.serials.map { |serial| "\"#{serial}\"" }
      <<~TOML

        [[node]]
        name = "#{node.name}"
        os = "arch"
        role = "control-plane"
        ssh = { host = "#{node.lan}" }
        lan = { mac = "#{node.lan_mac}", address = "#{node.lan}" }
        ceph = { mac = "#{node.ceph_mac}", address = "#{node.ceph}" }
        disks = { os = #{os}, ceph = [#{ceph.join(', ')}] }
      TOML
    end
  end
end
