/* The program of the embedded image `hello`: greets, and says where it runs. */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(void)
{
    struct utsname host;

    if (uname(&host) != 0) {
        perror("uname");
        return 1;
    }
    printf("Hello from a container run by tsd!\n"
           "This is process %d of host %s, on Linux %s (%s).\n",
           (int)getpid(), host.nodename, host.release, host.machine);
    return fflush(stdout) == 0 ? 0 : 1;
}
