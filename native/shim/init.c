/* The first process of a container with --init: runs the command as its child, passes signals on to it, and reaps whatever is orphaned. */
#include "shim.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fault of this process is its own. */
static const int own[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };

static void run(char **argv, const sigset_t *before)
{
	/* With a group of its own the terminal's signals reach the command once, from the terminal. */
	setpgid(0, 0);
	tcsetpgrp(0, getpid());
	signal(SIGTTIN, SIG_DFL);
	signal(SIGTTOU, SIG_DFL);
	sigprocmask(SIG_SETMASK, before, NULL);
	execvp(argv[0], argv);
	dprintf(2, "docker-init: exec %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* True once the command is over. */
static bool reap(pid_t command, int *code)
{
	bool over = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == command) {
			*code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			over = true;
		}
	return over;
}

int init_main(char **argv)
{
	sigset_t all, before;
	int signal_number, code = 1;
	pid_t command;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		sigdelset(&all, own[i]);
	sigprocmask(SIG_SETMASK, &all, &before);
	/* To hand over the terminal, and then not to be stopped by it. */
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	command = fork();
	if (command < 0) {
		perror("docker-init: fork");
		return 1;
	}
	if (command == 0)
		run(argv, &before);
	for (;;) {
		if (sigwait(&all, &signal_number) != 0)
			continue;
		if (signal_number != SIGCHLD)
			kill(command, signal_number);
		else if (reap(command, &code))
			return code;
	}
}
