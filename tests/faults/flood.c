/*
 * Connections that end in a refusal, as many as asked for, one after the other, from many addresses of loopback.
 *
 *	flood PORT COUNT FIRST CERTIFICATE KEY      FIRST: number of the first, which says its address and kind
 *
 * Most speak no TLS, some leave in the middle, some finish a handshake with a certificate that nobody knows. Prints
 * how many the gateway took.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ADDRESSES 1000u /* 127.1.0.1 and on */
#define TLS_EVERY 50u

static int
dial(uint16_t port, unsigned long n)
{
	const struct timeval patience = {20, 0};
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 0x10000u + (uint32_t)(n % ADDRESSES));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
	    bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		perror("connection");
		exit(2);
	}
	return fd;
}

/* Until the gateway hangs up. */
static bool
drain(int fd)
{
	char junk[512];
	ssize_t n;

	while ((n = recv(fd, junk, sizeof(junk), 0)) > 0)
		;
	return n == 0;
}

static bool
shake(SSL_CTX *context, int fd)
{
	static const unsigned char alpn[] = "\010kanmon/1";
	SSL *ssl = SSL_new(context);
	bool told = false;
	char byte;

	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1) == 0 &&
	    SSL_connect(ssl) == 1)
		told = SSL_read(ssl, &byte, 1) <= 0; /* in TLS 1.3 the client hears of it only here */
	SSL_free(ssl);
	return told && drain(fd);
}

/* True: it was taken, and refused. */
static bool
try_one(SSL_CTX *context, int fd, unsigned long n)
{
	static const char plain[] = "GET / HTTP/1.1\r\n\r\n", cut[] = "\026\003\001\002\000\001";

	if (n % TLS_EVERY == 0)
		return shake(context, fd);
	if (n % 3 == 0)
		return send(fd, cut, sizeof(cut) - 1, MSG_NOSIGNAL) > 0 && shutdown(fd, SHUT_WR) == 0 && drain(fd);
	return send(fd, plain, sizeof(plain) - 1, MSG_NOSIGNAL) > 0 && drain(fd);
}

int
main(int argc, char **argv)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	unsigned long first, count, taken = 0;

	(void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	if (argc != 6 || context == NULL || SSL_CTX_use_certificate_file(context, argv[4], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, argv[5], SSL_FILETYPE_PEM) != 1)
		return 2;
	count = strtoul(argv[2], NULL, 10);
	first = strtoul(argv[3], NULL, 10);
	for (unsigned long n = first; n < first + count; n++) {
		int fd = dial((uint16_t)strtoul(argv[1], NULL, 10), n);

		taken += try_one(context, fd, n);
		(void)close(fd);
	}
	printf("%lu\n", taken);
	SSL_CTX_free(context);
	return 0;
}
