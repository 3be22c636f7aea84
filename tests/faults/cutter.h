/*
 * A TCP proxy on loopback, in a thread of the test, that cuts one connection
 * at a chosen place of the TLS stream. A frame of the channel begins with a
 * TLS record of its own, so a cut at every record is one at every frame.
 */
#ifndef KANMON_TESTS_FAULTS_CUTTER_H
#define KANMON_TESTS_FAULTS_CUTTER_H

#include <stdbool.h>
#include <stdint.h>

enum cut_way { TO_GATEWAY, TO_CLIENT };
enum cut_place { CUT_BEFORE, CUT_INSIDE, CUT_AFTER }; /* nothing, half, or all of that record goes through */

struct cut {
	unsigned connection; /* the how manieth since the plan was made, from 1 */
	enum cut_way way;
	unsigned record; /* the how manieth in that direction, from 1 */
	enum cut_place place;
};

/* Listens on a port of its own (*port_out) and forwards to `target` on 127.0.0.1. 0, or -1. */
int cutter_start(uint16_t target, uint16_t *port_out);

#define CUTS_MAX 2

/* From here on: cut there, one place after the other, each once; 0: nowhere. Connections are counted anew. */
void cutter_plan(const struct cut *cuts, unsigned count);

/* Whether all planned cuts were made. */
bool cutter_did_cut(void);

/* Connections since the plan was made. */
unsigned cutter_connections(void);

#endif
