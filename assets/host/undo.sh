#!/bin/sh
# Written by Slipway. Puts the network back as it was before a change that nobody confirmed: run by
# a timer while the node is up, and by slipway-undo.service before the network comes up at boot.
d=/var/lib/slipway/undo
[ -e $d/armed ] || exit 0
while read -r kept path; do
    if [ "$kept" = - ]; then
        rm -f "$path"
    else
        mkdir -p "${path%/*}" && cp -p "$d/saved/$kept" "$path.undo" && sync "$path.undo" && mv -f "$path.undo" "$path"
    fi
done <$d/files
if [ "$1" = boot ]; then udevadm settle --timeout=20 2>/dev/null; fi
while read -r mac name; do
    for at in /sys/class/net/*; do
        now=${at##*/}
        [ "$now" != "$name" ] && [ "$(cat "$at/address")" = "$mac" ] || continue
        # A VLAN or bridge on top of the port carries its MAC as well.
        for under in "$at"/lower_*; do [ -e "$under" ] && continue 2; done
        ip link property del dev "$now" altname "$name" 2>/dev/null
        ip link set dev "$now" down
        ip link set dev "$now" name "$name" || ip link set dev "$now" up
        [ "$1" = boot ] || ip link set dev "$name" up
    done
done <$d/names
if [ "$1" != boot ]; then
    if [ -e $d/networkd-was-off ]; then
        systemctl stop systemd-networkd.socket systemd-networkd.service
    else
        networkctl reload
        while read -r mac name; do
            # What it did not have before goes, or it would be kept.
            ip -4 -o addr show dev "$name" | while read -r _ _ _ address _; do
                grep -qx "$mac $address" $d/addresses || ip addr del "$address" dev "$name"
            done
            networkctl reconfigure "$name"
        done <$d/names
    fi
fi
rm -f $d/armed
sync $d
