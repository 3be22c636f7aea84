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

#include "kanmon/err.h"

#define KMN_FRAME_ALPN "kanmon/1"
#define KMN_FRAME_VERSION 2u
#define KMN_FRAME_MAX_BYTES (2u << 20)  /* type and body; a longer frame ends the connection */
#define KMN_FRAME_FIRST_MAX_BYTES 8192u /* ATTACH, JOIN: before these nothing longer is taken */
#define KMN_FRAME_HEAD_MAX_BYTES 4096u  /* the note of a head that a client names */
#define KMN_INSTANCE_ID_BYTES 16
#define KMN_INSTANCE_SECRET_BYTES 32
#define KMN_EXPORTER_BYTES 32
#define KMN_EXPORTER_LABEL "EXPORTER-kanmon-instance-v1" /* RFC 8446 7.5, empty context */
#define KMN_WINDOW_NUMBERS 1024u                         /* width of the replay window, >= calls in flight */

/* When a client may send a frame; the gateway may send any at any time. */
#define KMN_PHASE_FIRST 1u    /* neither attached nor joined: a tool's connection stays here */
#define KMN_PHASE_ATTACHED 2u /* after ATTACHED or JOINED */
#define KMN_PHASE_WATCHING 4u /* after WATCH */
#define KMN_PHASE_ANY 7u

#define KMN_FRAME_TEXT_MAX_BYTES 1024u /* each text in a frame but ADMIN_REPLY's */

/*
 * The fields of a body, in order, are words: u8 u16 u32 u64 (big-endian),
 * rawN (N bytes as they are), text, bytes, rest (whatever is left, may be
 * nothing). kmn_frame_check walks them.
 *
 *  symbol                value  sender   phases  fields                         what they are */
/* clang-format off */
#define KMN_FRAME_ROWS(ROW) \
	ROW(KMN_F_ATTACH,        1,   CLIENT,  FIRST,    "u16 u8 u8 u8 text text raw32 u64 u8 bytes text text", \
	    "version, ulong bytes, little endian, packed, provider, host, client random, first handle, receipts " \
	    "(KMN_RECEIPTS_*), note of the newest head that the client accepted, its cosignature line over that head, " \
	    "vkey of that line; \"\" for none of the last three") \
	ROW(KMN_F_JOIN,          2,   CLIENT,  FIRST,    "u16 raw16 raw32 bytes", \
	    "version, instance, proof, note of the newest head that the client accepted or \"\"") \
	ROW(KMN_F_CALL,          3,   CLIENT,  ATTACHED, "u64 u64 rest", "number, acknowledged, request payload") \
	ROW(KMN_F_WATCH,         4,   CLIENT,  ATTACHED, "", "this connection carries READY from now on") \
	ROW(KMN_F_END_WAIT,      5,   CLIENT,  ATTACHED, "u64", "number") \
	ROW(KMN_F_DETACH,        6,   CLIENT,  ATTACHED, "", "the application is finished") \
	ROW(KMN_F_ADMIN,         7,   CLIENT,  ANY,      "u16 rest", "operation (admin.h), its fields") \
	ROW(KMN_F_ALIAS,         8,   CLIENT,  ATTACHED, "u64 u64", \
	    "old handle (below the first handle of ATTACH), new handle: this session or object goes by the old one now") \
	ROW(KMN_F_INTERFACES,    9,   CLIENT,  FIRST,    "u16", "version: which function lists do the modules have?") \
	ROW(KMN_F_COSIGN,       10,   CLIENT,  ATTACHED, "u64 text", \
	    "size of a head that came from this gateway, cosignature line over it by the key that ATTACH named") \
	ROW(KMN_F_PROVE,        11,   CLIENT,  ATTACHED, "u64 u64", \
	    "smaller size, larger size: is the first head a beginning of the second?") \
	ROW(KMN_F_WITHDRAW,     12,   CLIENT,  ATTACHED, "u64", "number") \
	ROW(KMN_F_PARK,         13,   CLIENT,  ATTACHED, "u64", "number of a held call: the window goes on without it") \
	ROW(KMN_F_FORGET,       14,   CLIENT,  ATTACHED, "u64", "number of such a call whose answer the client has") \
	ROW(KMN_F_ATTACHED,    128,   GATEWAY, ANY,      "u16 raw16 raw32 u32 text u64 bytes", \
	    "version, instance, gateway random, lease ms, origin, number of this channel in the ledger, receipt of a head " \
	    "(receipt.h) or nothing") \
	ROW(KMN_F_JOINED,      129,   GATEWAY, ANY,      "u64 u64 bytes", \
	    "highest number seen, number of this channel in the ledger, receipt of a head or nothing") \
	ROW(KMN_F_REPLY,       130,   GATEWAY, ANY,      "u64 bytes rest", "number, receipt or nothing, response payload") \
	ROW(KMN_F_HELD,        131,   GATEWAY, ANY,      "u64 u64", "number, request id (index of its intent record)") \
	ROW(KMN_F_REFUSED,     132,   GATEWAY, ANY,      "u64 u32 u64 text", \
	    "number or 0, kmn_err, request id or 2^64-1, reason") \
	ROW(KMN_F_READY,       133,   GATEWAY, ANY,      "u64", \
	    "number: ask for its reply by sending its CALL again, same bytes") \
	ROW(KMN_F_DETACHED,    134,   GATEWAY, ANY,      "", "") \
	ROW(KMN_F_ADMIN_REPLY, 135,   GATEWAY, ANY,      "u32 bytes", "kmn_err, text (JSON when 0, else the reason)") \
	ROW(KMN_F_ALIASED,     136,   GATEWAY, ANY,      "u64", "old handle") \
	ROW(KMN_F_NOTICE,      137,   GATEWAY, ANY,      "u8 u64", \
	    "kind (KMN_NOTICE_*), slot or 2^64-1 for every slot: no answer to anything, between any two frames") \
	ROW(KMN_F_OFFERED,     138,   GATEWAY, ANY,      "u8 rest", \
	    "n, n * (u16 version as major * 256 + minor, u64 flags), in the module's order") \
	ROW(KMN_F_PROVEN,      139,   GATEWAY, ANY,      "u64 u64 bytes", \
	    "smaller size, larger size, consistency proof as hashes of 32 bytes one after the other") \
	ROW(KMN_F_COSIGNED,    140,   GATEWAY, ANY,      "u64", "size: the line was taken, or is one too many") \
	ROW(KMN_F_FORGOTTEN,   141,   GATEWAY, ANY,      "u64", "number")
/* clang-format on */

#define KMN_FRAME_ENUM(symbol, value, sender, phases, fields, what) symbol = (value),
enum kmn_frame_type { KMN_FRAME_ROWS(KMN_FRAME_ENUM) };
#undef KMN_FRAME_ENUM

/* What a NOTICE says: something that an application may have cached is not so any more. */
enum kmn_notice {
	KMN_NOTICE_SLOT = 1,  /* a token came or went: presence, token info, mechanisms of the slot */
	KMN_NOTICE_STATE = 2, /* state of the sessions on the slot: login, logout, session death */
};

/* Which receipts an application asks for with its answers. */
enum kmn_receipts {
	KMN_RECEIPTS_OFF,   /* none */
	KMN_RECEIPTS_BATCH, /* verified soon after the answer */
	KMN_RECEIPTS_EACH,  /* verified before the answer counts */
	KMN_RECEIPTS_COUNT
};

/* Of ATTACH: virtual handles of the new instance begin here at the earliest; 0 and 1 are the same. */
#define KMN_FIRST_HANDLE_MAX (UINT64_C(1) << 31)

enum kmn_frame_sender { KMN_SENDER_CLIENT, KMN_SENDER_GATEWAY };

/* The name of a frame type ("KMN_F_CALL"), or "unknown"; static. */
const char *kmn_frame_name(uint8_t type);

/*
 * Whether a frame of `type` from `sender` may come in `phase` (one KMN_PHASE_*
 * bit) and has the shape of its row. The content is not judged.
 *
 * Limits:  KMN_FRAME_MAX_BYTES; before ATTACHED or JOINED
 *          KMN_FRAME_FIRST_MAX_BYTES unless it is ADMIN; more is KMN_E_TOO_BIG.
 * Errors:  KMN_E_MALFORMED (unknown, not from that end, not in that phase, or
 *          bad text), KMN_E_TRUNCATED, KMN_E_TRAILING, KMN_E_TOO_BIG.
 */
kmn_err kmn_frame_check(
    enum kmn_frame_sender sender, unsigned phase, uint8_t type, const void *body, size_t len_bytes) KMN_MUST_CHECK;

/*
 * The same judgement on what is known when only length and type have come: the
 * receiver asks before it makes room. `len_bytes` is without the type.
 */
kmn_err kmn_frame_check_head(
    enum kmn_frame_sender sender, unsigned phase, uint8_t type, size_t len_bytes) KMN_MUST_CHECK;

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
