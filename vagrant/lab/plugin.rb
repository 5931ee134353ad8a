# What vagrant-libvirt has no option for: fixed addresses on the LAN, NVMe disks, and Slipway's inventory.
require 'rexml/document'
require_relative 'nodes'
require_relative 'files'

module Lab
  # Around the making and the end of a machine: the LAN is there before it, the files after it.
  class Around
    LOCK = Mutex.new

    def initialize(app, _env)
      @app = app
    end

    def call(env)
      machine = env[:machine]
      return @app.call(env) unless Lab.node(machine.name)

      LOCK.synchronize { Lan.make(machine) } unless env[:machine_action] == :destroy
      @app.call(env)
      LOCK.synchronize do
        if env[:machine_action] == :destroy
          Lan.remove(machine) && Files.remove
        else
          Files.write(machine)
        end
      end
    end
  end

  # Vagrant would make this network too, but without the reservations: a node's address from DHCP
  # is the one that Slipway gives it for good, so Vagrant finds it before and after. It is gone
  # with the last machine, and made again where a restart of the computer took it.
  module Lan
    def self.make(machine)
      client = machine.provider.driver.connection.client
      client.create_network_xml(xml) unless client.list_networks.include?(LAN_NETWORK)
    end

    # Says whether it is gone.
    def self.remove(machine)
      client = machine.provider.driver.connection.client
      names = client.list_domains.map { |id| client.lookup_domain_by_id(id).name } + client.list_defined_domains
      return false unless (names & NODES.map(&:domain)).empty?

      client.lookup_network_by_name(LAN_NETWORK).destroy if client.list_networks.include?(LAN_NETWORK)
      true
    end

    def self.xml
      # A lease without an end: after Slipway nobody renews it, and Vagrant looks there.
      forever = "<lease expiry='0'/>"
      hosts = NODES.map { |node| "<host mac='#{node.lan_mac}' ip='#{node.lan}'>#{forever}</host>" }
      # `open`: no rules for a firewall, for there is nothing behind the gateway.
      <<~XML
        <network>
          <name>#{LAN_NETWORK}</name>
          <forward mode='#{EMULATED ? 'open' : 'nat'}'/>
          <bridge stp='off' delay='0'/>
          <dns enable='#{EMULATED ? 'no' : 'yes'}'/>
          <ip address='#{LAN}.1' netmask='255.255.255.0'>
            <dhcp><range start='#{NODES.first.lan}' end='#{NODES.last.lan}'>#{forever}</range>#{hosts.join}</dhcp>
          </ip>
        </network>
      XML
    end
  end

  # libvirt has no NVMe bus. Disks are defined for virtio, so that libvirt makes, labels, opens and
  # removes their files as usual, and only the device that QEMU is asked for is another one.
  class Nvme
    QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0'.freeze

    def initialize(app, _env)
      @app = app
    end

    def call(env)
      node = Lab.node(env[:machine].name)
      turn(env[:machine], node) if node
      @app.call(env)
    end

    private

    def turn(machine, node)
      client = machine.provider.driver.connection.client
      domain = client.lookup_domain_by_uuid(machine.id)
      xml = REXML::Document.new(domain.xml_desc(Libvirt::Domain::XML_SECURE | Libvirt::Domain::XML_INACTIVE))
      return if REXML::XPath.first(xml, '/domain/qemu:override', 'qemu' => QEMU)

      xml.root.add_namespace('qemu', QEMU)
      override = xml.root.add_element('qemu:override')
      node.serials.each_with_index do |serial, i|
        target = REXML::XPath.first(xml, "/domain/devices/disk/target[@dev='vd#{'abc'[i]}']")
        raise Vagrant::Errors::VagrantError, "#{node.name} has no disk #{serial}" unless target

        # Its place in the order of elements does not matter.
        target.parent.delete_element('serial')
        target.parent.add_element('serial').text = serial
        # Vagrant gives disks aliases of its own; where it gives none, libvirt does.
        named = target.parent.elements['alias']
        known = named ? named.attributes['name'] : "virtio-disk#{i}"
        front = override.add_element('qemu:device', 'alias' => known).add_element('qemu:frontend')
        front.add_element('qemu:property', 'name' => 'driver', 'type' => 'string', 'value' => 'nvme')
      end
      client.define_domain_xml(xml.to_s)
    end
  end

  class Plugin < Vagrant.plugin('2')
    name 'slipway-lab'

    %i[up reload destroy].each do |action|
      action_hook(:slipway_lab, :"machine_action_#{action}") { |hook| hook.prepend(Around) }
    end
    action_hook(:slipway_lab_nvme) do |hook|
      hook.before(VagrantPlugins::ProviderLibvirt::Action::StartDomain, Nvme)
    end
  end
end
