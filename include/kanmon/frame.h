/*
 * Frames of the channel between a provider or tool and the gateway, inside
 * TLS 1.3. The table is the format; docs/channel.md tells it in words.
 *
 *   frame = u32 length of what follows | u8 type | body
 *
 * Integers are big-endian, `bytes` and `text` are u32 length and content.
 */
#ifndef KANMON_FRAME_H
#define KANMON_FRAME_H

#include "kanmon/base.h"

#define KMN_FRAME_ALPN "kanmon/1"
#define KMN_FRAME_VERSION 1u
#define KMN_FRAME_MAX_BYTES (2u << 20)  /* type and body; a longer frame ends the connection */
#define KMN_FRAME_FIRST_MAX_BYTES 4096u /* ATTACH, JOIN: before these nothing longer is taken */
#define KMN_INSTANCE_ID_BYTES 16
#define KMN_INSTANCE_SECRET_BYTES 32
#define KMN_EXPORTER_BYTES 32
#define KMN_EXPORTER_LABEL "EXPORTER-kanmon-instance-v1" /* RFC 8446 7.5, empty context */
#define KMN_WINDOW_NUMBERS 1024u                         /* width of the replay window, >= calls in flight */

/*   symbol               value  who sends it    body */
#define KMN_FRAME_ROWS(ROW) \
	ROW(KMN_F_ATTACH, 1, CLIENT, \
	    "u16 version, u8 ulong bytes, u8 little endian, u8 packed, text provider, text host, raw[32] client " \
	    "random") \
	ROW(KMN_F_JOIN, 2, CLIENT, "u16 version, raw[16] instance, raw[32] proof") \
	ROW(KMN_F_CALL, 3, CLIENT, "u64 number, u64 acknowledged, request payload to the end") \
	ROW(KMN_F_WATCH, 4, CLIENT, "empty: this connection carries READY from now on") \
	ROW(KMN_F_END_WAIT, 5, CLIENT, "u64 number") \
	ROW(KMN_F_DETACH, 6, CLIENT, "empty: the application is finished") \
	ROW(KMN_F_ADMIN, 7, CLIENT, "u16 operation (admin.h), its fields to the end") \
	ROW(KMN_F_ATTACHED, 128, GATEWAY, \
	    "u16 version, raw[16] instance, raw[32] gateway random, u32 lease ms, text origin") \
	ROW(KMN_F_JOINED, 129, GATEWAY, "u64 highest number seen") \
	ROW(KMN_F_REPLY, 130, GATEWAY, "u64 number, response payload to the end") \
	ROW(KMN_F_HELD, 131, GATEWAY, "u64 number, u64 request id (index of its intent record)") \
	ROW(KMN_F_REFUSED, 132, GATEWAY, "u64 number or 0, u32 kmn_err, u64 request id or 2^64-1, text reason") \
	ROW(KMN_F_READY, 133, GATEWAY, "u64 number: ask for its reply by sending its CALL again, same bytes") \
	ROW(KMN_F_DETACHED, 134, GATEWAY, "empty") \
	ROW(KMN_F_ADMIN_REPLY, 135, GATEWAY, "u32 kmn_err, bytes text (JSON when 0, else the reason)")

#define KMN_FRAME_ENUM(symbol, value, sender, body) symbol = (value),
enum kmn_frame_type { KMN_FRAME_ROWS(KMN_FRAME_ENUM) };
#undef KMN_FRAME_ENUM

/*
 * The instance's secret is never sent. Both ends compute
 *   secret = HMAC-SHA256(gateway random, "kanmon/instance/v1" 00 client random exporter)
 * over the exporter of the connection that attached, and a later connection
 * joins with
 *   proof  = HMAC-SHA256(secret, "kanmon/join/v1" 00 exporter of the joining connection).
 */
void kmn_instance_secret(const uint8_t gateway_random[32], const uint8_t client_random[32],
    const uint8_t exporter[KMN_EXPORTER_BYTES], uint8_t secret_out[KMN_INSTANCE_SECRET_BYTES]);
void kmn_join_proof(const uint8_t secret[KMN_INSTANCE_SECRET_BYTES], const uint8_t exporter[KMN_EXPORTER_BYTES],
    uint8_t proof_out[KMN_HASH_BYTES]);

#endif
