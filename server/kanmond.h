/* The program: what its command line asks for. Tests link it with mains of their own (kanmon/roles.h). */
#ifndef KANMON_SERVER_KANMOND_H
#define KANMON_SERVER_KANMOND_H

/* Exit status: 0 ended as told, 1 service failed, 2 command line or configuration is wrong. */
int kmn_kanmond(int argc, char **argv);

#endif
