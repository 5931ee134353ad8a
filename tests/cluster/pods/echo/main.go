// A workload to try a cluster with: a server that says where it runs, and the client to ask it with,
// for a pod has no shell here.
//
//	echo                 answers on :8080 until it is told to end
//	echo get URL         prints what is there; 0 if that was a success
//	echo lookup NAME     prints the addresses of a name, one a line
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const patience = 5 * time.Second

func main() {
	// The first process of a container is not ended by a signal that it does not ask for.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ended
		os.Exit(0)
	}()
	var err error
	switch {
	case len(os.Args) == 1:
		err = serve()
	case len(os.Args) == 3 && os.Args[1] == "get":
		err = get(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "lookup":
		err = lookup(os.Args[2])
	default:
		err = fmt.Errorf("usage: echo [get URL | lookup NAME]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func serve() error {
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	pod, node := os.Getenv("POD_NAME"), os.Getenv("NODE_NAME")
	return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hostname=%s pod=%s node=%s from=%s\n", hostname, pod, node, r.RemoteAddr)
	}))
}

func get(url string) error {
	answer, err := (&http.Client{Timeout: patience}).Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}

func lookup(name string) error {
	within, done := context.WithTimeout(context.Background(), patience)
	defer done()
	addresses, err := net.DefaultResolver.LookupHost(within, name)
	for _, address := range addresses {
		fmt.Println(address)
	}
	return err
}
