#include "shim.h"
#include <fcntl.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "zygote"))
		return zygote_main(argv);
	if (argc >= 3 && !strcmp(argv[1], "--"))
		return init_main(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "--decode"))
		return decode_main(0);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("tsd-shim protocol %d\n", SHIM_VERSION);
		return 0;
	}
	fprintf(stderr, "tsd-shim is started by the tsd daemon; it has nothing to be run by hand.\n");
	return 2;
}
