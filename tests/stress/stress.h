/* One subcommand each of the program `stress`: arguments are numbers. */
#ifndef KANMON_TESTS_STRESS_STRESS_H
#define KANMON_TESTS_STRESS_STRESS_H

/* This program's own path. */
extern const char *stress_program;

/* threads COUNT OPERATIONS: so many threads of one application, each with its own session and its own key. */
void stress_threads(const unsigned long *arg);
/* states COUNT ROUNDS: so many applications at once; some log in and out, others never do, others as SO. */
void stress_states(const unsigned long *arg);
/* state ROLE ROUNDS: one of them; begins when its standard input ends. */
void stress_state(const unsigned long *arg);
/*
 * forks COUNT AT-ONCE: children of a parent that has a session, and a thread that signs all the while. AT-ONCE 0: one
 * after the other, and no thread.
 */
void stress_forks(const unsigned long *arg);
/* inherits COUNT AT-ONCE: the same, with fork = inherit: children use what their parent opened. */
void stress_inherits(const unsigned long *arg);
/* lives COUNT: dlopen, C_Initialize, work, C_Finalize, dlclose, over and over. */
void stress_lives(const unsigned long *arg);
/* finals COUNT THREADS: C_Finalize while threads call. */
void stress_finals(const unsigned long *arg);
/* prepare: the key that the others use. */
void stress_prepare(const unsigned long *arg);

#endif
