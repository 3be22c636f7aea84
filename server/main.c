#include "server/kanmond.h"

int
main(int argc, char **argv)
{
	return kmn_kanmond(argc, argv);
}
