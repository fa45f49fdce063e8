// Ends a process that asks for a socket of the internet's families: `cc -shared -fPIC -o no_network.so no_network.c -ldl`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int socket(int family, int type, int protocol) {
    if (family == AF_INET || family == AF_INET6) {
        fputs("a socket of the internet was asked for\n", stderr);
        abort();
    }
    int (*real)(int, int, int) = dlsym(RTLD_NEXT, "socket");
    return real(family, type, protocol);
}
