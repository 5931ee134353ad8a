#!/bin/sh
# Written by Slipway: the bridge as pod network. May be run as often as one likes.
set -eu
port={port}
# In labs the port may have kept its first name.
[ -e "/sys/class/net/$port" ] || port=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
route() { ip route replace "$1" via "$2" dev "$port" proto static; }
# Of nodes that are in the inventory no more. The kernel's own route of the bridge is not static.
wanted='{wanted}'
ip -4 route show root {pods} proto static | while read -r range _; do
    case " $wanted " in
    *" $range "*) ;;
    *) ip route del "$range" proto static ;;
    esac
done
{routes}# What leaves the cluster does so under the node's address; pods among themselves keep theirs.
iptables -w -t nat -C POSTROUTING -s {own} ! -d {pods} -j MASQUERADE 2>/dev/null ||
    iptables -w -t nat -A POSTROUTING -s {own} ! -d {pods} -j MASQUERADE
iptables -w -C FORWARD -s {pods} -j ACCEPT 2>/dev/null || iptables -w -A FORWARD -s {pods} -j ACCEPT
iptables -w -C FORWARD -d {pods} -j ACCEPT 2>/dev/null || iptables -w -A FORWARD -d {pods} -j ACCEPT
# Addresses of Services that nobody has made rules for yet, or any more: told so, and not lost on the LAN.
# Who asks tries again at once then, and not when it has waited for half a minute.
iptables -w -C FORWARD -d {services} -s {own} -j REJECT 2>/dev/null ||
    iptables -w -I FORWARD -d {services} -s {own} -j REJECT
