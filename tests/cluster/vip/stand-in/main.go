// Stands in for kube-vip, whose image cannot be had here: the same environment, kubeconfig, lease and
// address, so that what Slipway writes for it is what carries the cluster's address. Nothing of kube-vip's own
// code is in it.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Where kube-vip looks for it, and what it calls the API server of its own node.
const (
	kubeconfig = "/etc/kubernetes/admin.conf"
	self       = "kubernetes"
)

func wanted(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is not set", name)
	}
	return value
}

func seconds(name string) time.Duration {
	n, err := strconv.Atoi(wanted(name))
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return time.Duration(n) * time.Second
}

// Tells the neighbours, without having been asked, where the address is now.
func announce(link netlink.Link, address net.IP) error {
	const arp = 0x0806
	order := func(n uint16) uint16 { return binary.BigEndian.Uint16([]byte{byte(n), byte(n >> 8)}) }
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, int(order(arp)))
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	mac := link.Attrs().HardwareAddr
	all := []byte{255, 255, 255, 255, 255, 255}
	frame := append(append([]byte{}, all...), mac...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	frame = append(append(frame, mac...), address.To4()...)
	frame = append(append(frame, all...), address.To4()...)
	to := syscall.SockaddrLinklayer{Protocol: order(arp), Ifindex: link.Attrs().Index, Halen: 6}
	copy(to.Addr[:], all)
	return syscall.Sendto(socket, frame, 0, &to)
}

func main() {
	if len(os.Args) != 2 || os.Args[1] != "manager" {
		log.Fatal("kube-vip is started with `manager`")
	}
	for name, value := range map[string]string{"vip_arp": "true", "cp_enable": "true", "vip_leaderelection": "true"} {
		if wanted(name) != value {
			log.Fatalf("%s is not %s", name, value)
		}
	}
	address, err := netlink.ParseAddr(wanted("address") + "/" + wanted("vip_subnet"))
	if err != nil {
		log.Fatal(err)
	}
	link, err := netlink.LinkByName(wanted("vip_interface"))
	if err != nil {
		log.Fatal(err)
	}
	give := func() {
		if err := netlink.AddrDel(link, address); err == nil {
			log.Printf("%s is given up", address.IP)
		}
	}
	give()
	config, err := clientcmd.BuildConfigFromFlags(fmt.Sprintf("https://%s:%s", self, wanted("port")), kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	config.Timeout = seconds("vip_renewdeadline")
	client := kubernetes.NewForConfigOrDie(config)
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: wanted("vip_leasename"), Namespace: wanted("cp_namespace")},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: wanted("vip_nodename")},
	}
	for {
		leaderelection.RunOrDie(context.Background(), leaderelection.LeaderElectionConfig{
			Lock:          lock,
			LeaseDuration: seconds("vip_leaseduration"),
			RenewDeadline: seconds("vip_renewdeadline"),
			RetryPeriod:   seconds("vip_retryperiod"),
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					if err := netlink.AddrReplace(link, address); err != nil {
						log.Fatal(err)
					}
					log.Printf("%s is here", address.IP)
					for ctx.Err() == nil {
						if err := announce(link, address.IP); err != nil {
							log.Print(err)
						}
						time.Sleep(time.Second)
					}
				},
				OnStoppedLeading: give,
			},
		})
	}
}
