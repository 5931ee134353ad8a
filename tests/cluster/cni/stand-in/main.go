// A stand-in for Cilium's programs, in the lab, where their images cannot be had: the agent gives the
// node a bridge for its pods and says that it is well, the operator says that it is well, and what the
// chart starts before them ends at once.
package main

import (
	"log"
	"net/http"
	"os"
	"path/filepath"
)

const bridge = `{
  "cniVersion": "1.0.0", "name": "stand-in",
  "plugins": [{
    "type": "bridge", "bridge": "cni0", "isGateway": true,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.42.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0" }] }
  }]
}
`

func main() {
	address := map[string]string{
		"cilium-agent":            "127.0.0.1:9879",
		"cilium-operator-generic": "127.0.0.1:9234",
	}[filepath.Base(os.Args[0])]
	if address == "" {
		return
	}
	if filepath.Base(os.Args[0]) == "cilium-agent" {
		if err := os.WriteFile("/host/etc/cni/net.d/05-cilium.conflist", []byte(bridge), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	log.Fatal(http.ListenAndServe(address, nil))
}
