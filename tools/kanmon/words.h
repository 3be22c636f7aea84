/*
 * What the tool says to a person who is about to sign, in each language: name, English, Japanese. `$` is where a number,
 * hash or reason goes. KMN_W_LIE_*: contradictions, for which nothing is signed. What is signed is never translated.
 */
#ifndef KANMON_TOOLS_WORDS_H
#define KANMON_TOOLS_WORDS_H

#include "kanmon/base.h"

/* clang-format off */
#define KMN_WORD_ROWS(ROW) \
ROW(KMN_W_CODE, "code", "照合コード") \
ROW(KMN_W_VERIFIED, "verified here: ", "この端末で検証済み: ") \
ROW(KMN_W_OPEN, "NOT verified:  ", "未検証: ") \
ROW(KMN_W_KEYS, "What the first words of the lines mean", "各行の見出しの意味") \
ROW(KMN_W_MORE, "-- Enter shows the next lines --", "-- Enter で続きを表示 --") \
ROW(KMN_W_YES_NO, "$ (yes/no) ", "$ (yes または no) ") \
ROW(KMN_W_APPROVE, "Approve this?", "この内容を承認しますか?") \
ROW(KMN_W_REJECT, "Reject this?", "この内容を却下しますか?") \
ROW(KMN_W_VETO, "Veto this?", "この内容に拒否権を行使しますか?") \
ROW(KMN_W_UNSIGNED, "nothing was signed", "署名していません") \
ROW(KMN_W_POLICY_SEEN, "policy $ is the one seen before", "ポリシー第$版は以前に確認したものと同一") \
ROW(KMN_W_POLICY_FIRST, "policy 1 is signed by its own policy quorum", "ポリシー第1版には所定の人数の署名がある") \
ROW(KMN_W_POLICY_COMPARE, "policy 1 is seen for the first time: compare its hash with the ceremony's", \
    "ポリシー第1版を初めて確認: 鍵セレモニーで控えたハッシュと照合すること") \
ROW(KMN_W_POLICY_CHAIN, "policy $ follows from those before it, each signed by both quorums", \
    "ポリシー第$版までの全ての改版に、新旧双方の所定の署名がある") \
ROW(KMN_W_POLICY_NEW, "policy $ is new here: its signatures by the one before were not checked", \
    "ポリシー第$版を初めて確認: 前の版による署名は検証していない") \
ROW(KMN_W_DATA_MISSING, "what will be signed was not sent: its content is not known here, only its hash", \
    "署名対象データが届いていない: 内容は不明で、ハッシュのみ分かる") \
ROW(KMN_W_DATA, "what will be signed ($ bytes) has the hash in the record and was decoded here", \
    "署名対象データ($ バイト)のハッシュは記録と一致し、この端末で解読した") \
ROW(KMN_W_ECONTENT, "what the signed attributes are over ($ bytes) has their hash", \
    "署名属性の対象データ($ バイト)のハッシュは一致した") \
ROW(KMN_W_ATTACHED, "what was attached later stands in record $: its place was not proven", \
    "後から添付されたものは記録 $ にある: その位置の証明がない") \
ROW(KMN_W_PROOF_MISSING, "that the head holds the request was not proven", "台帳の先頭がこの要求を含むことの証明がない") \
ROW(KMN_W_PROOF, "the head ($ records) holds the request", "台帳の先頭(記録数 $)はこの要求を含む") \
ROW(KMN_W_HEAD_FIRST, "this is the first head of this gateway seen here", "このゲートウェイの台帳の先頭を初めて確認") \
ROW(KMN_W_HEAD_SAME, "the head is the one seen last", "台帳の先頭は前回と同一") \
ROW(KMN_W_HEAD_GREW, "that the head continues the one seen last ($ records) was not proven", \
    "台帳の先頭が前回(記録数 $)から続くことの証明がない") \
ROW(KMN_W_STATEMENT, "the statement was made again here and is the same, byte for byte", \
    "陳述書をこの端末で作り直し、全バイトが一致した") \
ROW(KMN_W_ACTIVATION, "that the activation key is the HSM worker's is known to the gateway alone", \
    "アクティベーション鍵が HSM ワーカーのものであることはゲートウェイだけが知っている") \
ROW(KMN_W_OFFLINE, "nobody was asked: the request may have ended since the file was written", \
    "オフライン: ファイル作成後に要求が終了した可能性がある") \
ROW(KMN_W_WARNING, "WARNING:       ", "警告: ") \
ROW(KMN_W_DO_NOT_SIGN, "DO NOT SIGN: $", "署名しないこと (DO NOT SIGN): $") \
ROW(KMN_W_LIE_NO_STATEMENT, "the gateway sent no statement: the request does not wait for approval", \
    "ゲートウェイが陳述書を送っていない: この要求は承認待ちではない") \
ROW(KMN_W_LIE_NO_INTENT, "the gateway sent no intent record", \
    "ゲートウェイが要求の記録を送っていない") \
ROW(KMN_W_LIE_INTENT_OTHER, "the record is not the intent of this request", \
    "送られた記録はこの要求のものではない") \
ROW(KMN_W_LIE_INTENT_BAD, "the intent record cannot be read: $", \
    "要求の記録を読み取れない: $") \
ROW(KMN_W_LIE_NO_POLICY, "the gateway sent no signed policy", \
    "ゲートウェイが署名付きのポリシーを送っていない") \
ROW(KMN_W_LIE_POLICY_BAD, "the policy cannot be read: $", \
    "ポリシーを読み取れない: $") \
ROW(KMN_W_LIE_POLICY_BEFORE, "the policies before differ from the one seen before under the same number", \
    "以前のポリシーが、同じ版番号で前に確認したものと異なる") \
ROW(KMN_W_LIE_POLICY_ORIGIN, "the policy is of another gateway", \
    "ポリシーが別のゲートウェイのものである") \
ROW(KMN_W_LIE_POLICY_OLDER, "the policy is older than the one seen before", \
    "ポリシーが以前に確認したものより古い") \
ROW(KMN_W_LIE_POLICY_DIFFERS, "the policy differs from the one seen before under the same number", \
    "ポリシーが、同じ版番号で前に確認したものと異なる") \
ROW(KMN_W_LIE_POLICY_UNSIGNED, "the policy is not signed by its own policy quorum", \
    "ポリシーに所定の人数の署名がない") \
ROW(KMN_W_LIE_ATTACHED_BAD, "what was attached cannot be read", \
    "添付されたものを読み取れない") \
ROW(KMN_W_LIE_ATTACHED_OTHER, "what was attached is of another request", \
    "添付されたものは別の要求のものである") \
ROW(KMN_W_LIE_DATA_FORM, "what will be signed came in no known form", \
    "署名対象データの形式が不明である") \
ROW(KMN_W_LIE_DATA_DIFFERS, "what will be signed is not what the record names", \
    "署名対象データが記録にあるものと異なる") \
ROW(KMN_W_LIE_ECONTENT_FORM, "what the attributes are over came in no known form", \
    "署名属性の対象データの形式が不明である") \
ROW(KMN_W_LIE_ECONTENT_DIFFERS, "what the attributes are over is not what the record names", \
    "署名属性の対象データが記録にあるものと異なる") \
ROW(KMN_W_LIE_NO_HEAD, "the statement names no head", \
    "陳述書に台帳の先頭がない") \
ROW(KMN_W_LIE_HEAD_BAD, "the statement's head cannot be read", \
    "陳述書にある台帳の先頭を読み取れない") \
ROW(KMN_W_LIE_HEAD_WITHOUT, "the head does not hold the request", \
    "台帳の先頭はこの要求を含まない") \
ROW(KMN_W_LIE_HEAD_DIFFERS, "the ledger has another root than one of the same size seen before", \
    "台帳のルートが、同じ記録数で以前に確認したものと異なる") \
ROW(KMN_W_LIE_LEDGER_SHORTER, "the ledger is shorter than it was", \
    "台帳が以前より短い") \
ROW(KMN_W_LIE_HEAD_AHEAD, "the statement names a head that the ledger has not reached", \
    "陳述書にある台帳の先頭に、台帳がまだ達していない") \
ROW(KMN_W_LIE_STATEMENT_FAILS, "the statement cannot be made here: $", \
    "陳述書をこの端末で作れない: $") \
ROW(KMN_W_LIE_NOT_HELD, "the policy does not hold this request for approval", \
    "ポリシーはこの要求に承認を求めていない") \
ROW(KMN_W_LIE_STATEMENT_DIFFERS, "the statement is not the one that follows from record, policy and head", \
    "陳述書が、記録・ポリシー・台帳の先頭から作られるものと異なる") \
ROW(KMN_W_LIE_SEALED_PIN, "the sealed PIN that the gateway sent is not the one that the statement names", \
    "ゲートウェイが送った封印された PIN が、陳述書にあるものと異なる")

/* The keys of a statement's lines, for people who read no English; they stand in the text as they are. */
#define KMN_KEY_ROWS(ROW) \
ROW("origin", "台帳の名称") \
ROW("request", "要求の番号") \
ROW("request-leaf", "要求の記録のハッシュ") \
ROW("head", "台帳の先頭(記録数とハッシュ)") \
ROW("policy", "ポリシー(版とハッシュ)") \
ROW("rule", "適用される規則") \
ROW("need", "必要な承認者") \
ROW("independent", "独立した端末での承認の必要数") \
ROW("decision", "判断(approve 承認、reject 却下、veto 拒否権)") \
ROW("operation", "操作") \
ROW("mechanism", "署名方式") \
ROW("params", "方式のパラメーター") \
ROW("token", "HSM トークン") \
ROW("key-class", "鍵の種類") \
ROW("key-label", "鍵の名称") \
ROW("key-id", "鍵の識別子") \
ROW("key-spki-sha256", "公開鍵のハッシュ") \
ROW("input-len", "署名対象の長さ(バイト)") \
ROW("input-sha256", "署名対象のハッシュ") \
ROW("input-kind", "署名対象の種類") \
ROW("input", "署名対象の内容") \
ROW("constraint", "許される範囲") \
ROW("application", "申請の番号") \
ROW("applicant-key", "申請者の公開鍵との照合") \
ROW("requester", "要求元") \
ROW("purpose", "目的(要求元の申告)") \
ROW("per", "承認の単位") \
ROW("pin", "封印された PIN(必要な分散片の数)") \
ROW("activation-key", "PIN の分散片の送り先となる鍵") \
ROW("uses", "使用回数") \
ROW("not-before", "有効期間の始まり(UTC)") \
ROW("not-after", "有効期間の終わり(UTC)") \
ROW("reason", "理由") \
ROW("nonce", "乱数")
/* clang-format on */

#define KMN_WORD_ENUM(id, en, ja) id,
enum kmn_word { KMN_WORD_ROWS(KMN_WORD_ENUM) KMN_WORD_COUNT };
#undef KMN_WORD_ENUM

enum kmn_language { KMN_ENGLISH, KMN_JAPANESE, KMN_LANGUAGE_COUNT };

/* Of --language ("en", "ja"), or where that is NULL of LC_ALL, LC_MESSAGES, LANG. False: another word was given. */
bool kmn_language_get(const char *option, enum kmn_language *language_out);

/* The text, with `value` (NULL: "") in place of its `$`. Cut to the room; NUL-terminated. */
void kmn_word(enum kmn_language language, enum kmn_word word, const char *value, char *out, size_t room);
/* Likewise a text without `$`; static. */
const char *kmn_word_text(enum kmn_language language, enum kmn_word word);

/* What a line's key means; NULL: not said (English says itself). `key` need not end with NUL. */
const char *kmn_key_text(enum kmn_language language, const char *key, size_t len);

/* Columns of a terminal that the character at `text` takes (0 to 2), and its bytes in *len_out (1 at least). */
unsigned kmn_columns_of(const char *text, size_t *len_out);

#endif
