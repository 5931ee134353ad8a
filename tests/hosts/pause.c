/* Holds a pod's namespaces: waits until it is told to end, and buries what is left to it. Asked for its
 * version, as kubeadm's health check does, it ends at once. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) { (void)signal; _exit(0); }
static void bury(int signal) {
    (void)signal;
    while (waitpid(-1, 0, WNOHANG) > 0) {
    }
}

int main(int count, char **words) {
    if (count > 1 && strcmp(words[1], "-v") == 0) {
        const char said[] = "pause of the lab\n";
        return write(1, said, sizeof said - 1) < 0;
    }
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGCHLD, bury);
    for (;;) pause();
}
