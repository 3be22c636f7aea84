/*
 * Every word of the report, in each language: name, English, Japanese. Names of PKCS#11 functions and of evidence are
 * those of the data.
 */
#ifndef KANMON_TOOLS_REPORT_TEXTS_H
#define KANMON_TOOLS_REPORT_TEXTS_H

/* clang-format off */
#define KMN_REPORT_TEXTS(ROW) \
ROW("title", "Audit report", "監査報告書") \
ROW("subtitle", "of the ledger of a kanmon gateway to a hardware security module", "HSM ゲートウェイ kanmon の台帳") \
ROW("origin", "Origin", "台帳の名称") \
ROW("period", "Period (UTC)", "期間(UTC)") \
ROW("to", "to", "〜") \
ROW("records", "Records", "記録数") \
ROW("segments", "segment(s)", "セグメント") \
ROW("head", "Head", "先頭ハッシュ") \
ROW("signed_to", "Signed by the log key to", "ログ鍵による署名の範囲") \
ROW("anchored_to", "Time-stamped to", "タイムスタンプの範囲") \
ROW("witnessed_to", "Witnessed to", "証人による確認の範囲") \
ROW("nobody", "not asked for", "要求なし") \
ROW("hsm", "HSM used", "使用した HSM") \
ROW("firmware", "firmware", "ファームウェア") \
ROW("serial_no", "serial", "製造番号") \
ROW("made", "Report made", "作成日時") \
ROW("signatures", "Signatures verified again", "再検証した署名") \
ROW("signatures_skipped", "without key or data", "鍵またはデータなし") \
ROW("refused_open", "Refused / open requests", "拒否 / 未決の要求") \
ROW("check_says", "What is checked", "検査内容") \
ROW("by_rule", "rule", "規則") \
ROW("findings_no", "Findings", "指摘事項") \
ROW("none", "none", "なし") \
ROW("verdict_0", "VERIFIED", "検証済み") \
ROW("verdict_1", "FAILED", "検証失敗") \
ROW("verdict_2", "VERIFIED, BUT SHORT", "検証済み(不足あり)") \
ROW("verdict_3", "INCOMPLETE", "検証不完全") \
ROW("verdict_says_0", "Every check that the trust file asks for holds. No byte, record or segment was changed, dropped or added; every decision follows from the signed policy and the approvals; signatures of the HSM were verified again.", \
	"信頼ファイルが求める検査はすべて成立した。記録の改変・削除・追加はなく、すべての決定は署名されたポリシーと承認から導かれ、HSM の署名は再検証された。") \
ROW("verdict_says_1", "At least one check failed. Each finding below names its place.", "少なくとも一つの検査が成立しなかった。各指摘事項の場所は下に示す。") \
ROW("verdict_says_2", "Verified, but short of the witnesses or time stamps that the trust file asks for.", "検証は成立したが、信頼ファイルが求める証人またはタイムスタンプが不足している。") \
ROW("verdict_says_3", "Input is missing that a check needs. Nothing that was checked failed.", "検査に必要な入力が不足している。実施した検査に失敗はない。") \
ROW("operations", "What was done, by whom, with which key", "誰が、どの鍵で、何をしたか") \
ROW("key", "Key", "鍵") \
ROW("operation", "Operation", "操作") \
ROW("content", "Over what", "対象") \
ROW("requested_by", "Requested by", "要求者") \
ROW("approved_by", "Approved by", "承認者") \
ROW("result", "Result", "結果") \
ROW("times", "Times", "回数") \
ROW("when", "When (UTC)", "日時(UTC)") \
ROW("record", "Record", "記録番号") \
ROW("more", "more", "他") \
ROW("no_approval", "no approval needed (rule %s)", "承認不要(規則 %s)") \
ROW("no_operations", "No key was used.", "鍵は使用されていない。") \
ROW("token", "token", "トークン") \
ROW("id", "id", "ID") \
ROW("public_key", "public key SHA-256", "公開鍵 SHA-256") \
ROW("origin_local", "made inside the HSM, never extractable", "HSM 内で生成、取り出し不可") \
ROW("origin_inside", "made inside the HSM", "HSM 内で生成") \
ROW("origin_outside", "NOT made inside the HSM", "HSM 外で生成(インポート)") \
ROW("C_Sign", "Sign", "署名") \
ROW("C_SignFinal", "Sign", "署名") \
ROW("C_SignRecover", "Sign (recover)", "署名(復元型)") \
ROW("C_SignMessage", "Sign", "署名") \
ROW("C_Decrypt", "Decrypt", "復号") \
ROW("C_DecryptFinal", "Decrypt", "復号") \
ROW("C_Encrypt", "Encrypt", "暗号化") \
ROW("C_EncryptFinal", "Encrypt", "暗号化") \
ROW("C_GenerateKeyPair", "Generate key pair", "鍵ペア生成") \
ROW("C_GenerateKey", "Generate key", "鍵生成") \
ROW("C_DestroyObject", "Destroy object", "廃棄") \
ROW("C_CreateObject", "Create object (import)", "オブジェクト作成(インポート)") \
ROW("C_CopyObject", "Copy object", "複製") \
ROW("C_SetAttributeValue", "Change attributes", "属性変更") \
ROW("C_WrapKey", "Wrap key (backup)", "鍵のラップ(バックアップ)") \
ROW("C_UnwrapKey", "Unwrap key", "鍵のアンラップ") \
ROW("C_DeriveKey", "Derive key", "鍵導出") \
ROW("C_InitToken", "Initialise token", "トークン初期化") \
ROW("C_InitPIN", "Set first PIN", "PIN 初期設定") \
ROW("C_SetPIN", "Change PIN", "PIN 変更") \
ROW("C_GenerateRandom", "Random numbers", "乱数生成") \
ROW("checks", "Checks", "検査項目") \
ROW("check", "Check", "検査") \
ROW("outcome", "Outcome", "結果") \
ROW("ok", "ok", "適合") \
ROW("FAILED", "FAILED", "不適合") \
ROW("not asked for", "not asked for", "要求なし") \
ROW("not checked", "not checked", "未実施") \
ROW("V1", "files, framing and segments are whole", "ファイル・枠・セグメントが完全である") \
ROW("V2", "every line is canonical, in order, of a known form", "各行が正規形で、順序どおり、既知の形式である") \
ROW("V3", "every root is that of the records before it", "各ルートハッシュがそれ以前の記録と一致する") \
ROW("V4", "the head is signed by the pinned log key", "先頭が固定されたログ鍵で署名されている") \
ROW("V5", "policy 1 is the pinned one, each next one was signed by the quorums", "ポリシー第1版が固定値と一致し、以後の版は定足数により署名されている") \
ROW("V6", "statements, approvals and decisions follow from the records", "声明・承認・決定が記録から導かれる") \
ROW("V7", "signatures verify under the key over what was asked", "署名が要求された内容について鍵で検証できる") \
ROW("V8", "every intent and decision has its outcome", "すべての要求と決定に結末がある") \
ROW("V9", "time-stamp anchors", "タイムスタンプ") \
ROW("V10", "the gateway's clock, and heads that clients came with", "ゲートウェイの時計と、クライアントが持参した台帳の先頭") \
ROW("V11", "the HSM's own log", "HSM 自身のログ") \
ROW("V12", "openings of commitments", "コミットメントの開示") \
ROW("findings", "Findings", "指摘事項") \
ROW("severity", "Severity", "重大度") \
ROW("place", "Place", "場所") \
ROW("finding", "finding", "指摘") \
ROW("FATAL", "FATAL", "致命的") \
ROW("note", "note", "注記") \
ROW("missing", "missing", "不足") \
ROW("text", "What was found", "内容") \
ROW("line", "line", "行") \
ROW("policies", "Policy versions and who signed them", "ポリシーの版と署名者") \
ROW("version", "Version", "版") \
ROW("signers", "Signed by", "署名者") \
ROW("sha256", "SHA-256", "SHA-256") \
ROW("windows", "Windows that were opened", "開かれた承認期間(ウィンドウ)") \
ROW("window_opened", "Opened", "開始") \
ROW("window_until", "Until at most", "期限") \
ROW("window_uses", "Uses", "使用回数") \
ROW("window_most", "At most", "上限") \
ROW("window_ended", "Ended", "終了") \
ROW("window_open", "open at the head", "末尾で継続中") \
ROW("spent", "all uses made", "上限まで使用") \
ROW("expired", "time over", "期限切れ") \
ROW("vetoed", "vetoed", "拒否権行使") \
ROW("withdrawn", "withdrawn", "取下げ") \
ROW("deny", "not allowed any more", "以後不許可") \
ROW("anomalies", "Anomalies, stances and reopenings", "異常・制限・再開") \
ROW("anomaly_token", "Token", "トークン") \
ROW("anomaly_reopened", "Reopened by record", "再開の記録番号") \
ROW("all_tokens", "all tokens", "全トークン") \
ROW("stance", "Stance", "異常時の制限") \
ROW("stance_none", "none: told only", "なし(通知のみ)") \
ROW("seal", "sealed", "封鎖") \
ROW("degrade", "degraded", "一部停止") \
ROW("attestations", "Documents attested", "証明された文書") \
ROW("document_kind", "Kind", "種類") \
ROW("document_title", "Title", "表題") \
ROW("document_len", "Bytes", "バイト数") \
ROW("document_sha256", "SHA-256 of the document", "文書の SHA-256") \
ROW("tokens", "Tokens of the policy in force", "現行ポリシーのトークン") \
ROW("token_name", "Token", "トークン") \
ROW("model", "Model", "機種") \
ROW("level", "Level", "認証レベル") \
ROW("level_by", "Level by", "レベルの根拠") \
ROW("level_word", "word of those who signed the policy; the gateway compares validation objects where the HSM has them, and no record holds them", "ポリシー署名者の申告。HSM に検証オブジェクトがあればゲートウェイが照合するが、記録には残らない") \
ROW("level_none", "no level asked for", "レベルの指定なし") \
ROW("persons", "Rights and votes by person", "人ごとの権限と投票") \
ROW("name", "Name", "氏名") \
ROW("person", "Person id", "個人識別子") \
ROW("keys_no", "Keys", "鍵数") \
ROW("groups", "Groups", "グループ") \
ROW("roles", "Roles", "役割") \
ROW("may_approve", "May approve under", "承認できる規則") \
ROW("approvals", "Approvals", "承認") \
ROW("rejections", "Rejections", "却下") \
ROW("vetoes", "Vetoes", "拒否権行使") \
ROW("last", "Last", "最終") \
ROW("auditor", "auditor", "監査人") \
ROW("not_in_policy", "not in the policy in force", "現行ポリシーに記載なし") \
ROW("clients", "Operations by client", "クライアントごとの操作") \
ROW("client", "Client", "クライアント") \
ROW("role", "Role", "種別") \
ROW("channels", "Channels", "接続数") \
ROW("calls", "Recorded calls", "記録された呼出し") \
ROW("refused", "Refused", "拒否数") \
ROW("protection", "Protection of the channel", "通信路の保護") \
ROW("refusals", "What was refused", "拒否されたもの") \
ROW("type", "Type", "種別") \
ROW("rule", "Rule", "規則") \
ROW("detail", "Detail", "詳細") \
ROW("refusal", "Why", "理由") \
ROW("refused: rule", "its rule refuses it", "規則により拒否") \
ROW("refused: seal", "an anomaly closed its token", "異常によりトークンを封鎖中") \
ROW("refused: stale", "a limit of the policy is past, or the clock lags", "ポリシーの期限超過、または時計の遅れ") \
ROW("refused: call", "something that no record shows", "記録に現れない事情") \
ROW("refused: not recorded", "not recorded", "記録なし") \
ROW("open", "Requests that are open at the head", "末尾で未決の要求") \
ROW("events", "Starts, stops, recoveries", "起動・停止・復旧") \
ROW("witnesses", "Witnesses", "証人") \
ROW("anchors", "Time stamps", "タイムスタンプ") \
ROW("tsa", "Authority", "時刻認証局") \
ROW("last_time", "Last token's time", "最終時刻") \
ROW("covers", "Covers records to", "対象記録数") \
ROW("certificates", "Certificates, CRLs, requests and OCSP responses signed", "署名した証明書・CRL・CSR・OCSP 応答") \
ROW("kind", "Kind", "種類") \
ROW("subject", "Subject", "主体者") \
ROW("serial", "Serial", "シリアル番号") \
ROW("validity", "Validity", "有効期間") \
ROW("fingerprints", "Fingerprint SHA-256", "フィンガープリント SHA-256") \
ROW("unknown_content", "data not kept by the ledger", "データは台帳に保存されていない") \
ROW("requirements", "Requirements and their evidence", "要求事項とその証拠") \
ROW("requirement", "Requirement", "要求事項") \
ROW("evidence", "Evidence: how many records, and the first of them", "証拠: 記録の件数と最初の記録番号") \
ROW("R1", "The path to the HSM: both ends prove who they are, nothing can be read, altered, replayed or rolled back", "HSM への経路: 双方の認証、盗聴・改変・再送・巻き戻しの防止") \
ROW("R2", "What a screen shows, what was instructed, what ran on the HSM and what came back are the same", "画面表示・指示・HSM での実行・結果が同一である") \
ROW("R3", "For root keys: when in doubt, refuse", "ルート鍵: 疑わしいときは拒否する") \
ROW("R4", "Keys are made, used and destroyed by several named persons; who requests may not approve", "鍵の生成・使用・廃棄は記名された複数人による。要求者は承認できない") \
ROW("R5", "Every operation leaves a record that cannot be lost or altered", "すべての操作に、滅失・改変のない記録が残る") \
ROW("R6", "The HSM is of a pinned model, serial and firmware", "HSM の機種・製造番号・ファームウェアが固定されている") \
ROW("R7", "Key origin: made inside, never extractable, or imported", "鍵の由来: HSM 内生成・取り出し不可、またはインポート") \
ROW("R8", "Authority: roster, roles and policy, each version signed by a quorum", "権限: 名簿・役割・ポリシーの各版が定足数により署名されている") \
ROW("R9", "Abnormal traffic, failed authentication and refused calls are recorded", "異常な通信・認証失敗・拒否された呼出しの記録") \
ROW("R10", "The running configuration, rights and logs can be compared and reproduced", "稼働中の構成・権限・ログを照合し再現できる") \
ROW("R11", "A signature on a certificate is tied to its application, public key and fingerprint", "証明書の署名が申請・公開鍵・フィンガープリントに結び付く") \
ROW("R12", "Approvals work once", "承認は一度だけ有効である") \
ROW("R13", "Self-tests and conditions: starts, clock, ledger head", "自己検査と条件: 起動・時計・台帳先頭") \
ROW("channels_rejected", "channels rejected", "拒否された接続") \
ROW("client_heads", "channels that brought a head of their own", "自ら先頭を提示した接続") \
ROW("cosignatures", "cosignatures by witnesses", "証人の連署") \
ROW("statements", "statements", "声明") \
ROW("actions", "screens recorded", "画面表示の記録") \
ROW("results_verified", "signatures verified before release", "交付前に検証された署名") \
ROW("redelivered", "answers given once more", "再交付された応答") \
ROW("decided_deny", "requests denied", "不許可の決定") \
ROW("decided_expired", "requests expired", "期限切れ") \
ROW("refused_calls", "calls refused or failed", "拒否または失敗した呼出し") \
ROW("recoveries", "recoveries", "復旧") \
ROW("keys_made", "keys made", "生成された鍵") \
ROW("approved_operations", "operations allowed by a quorum", "定足数により許可された操作") \
ROW("intents", "intents, recorded before the HSM was asked", "HSM 実行前の要求記録") \
ROW("results", "results", "結果記録") \
ROW("single_records", "single records of class B and of refusals", "単一記録(クラス B・拒否)") \
ROW("hsm_named", "records that name the HSM", "HSM を特定する記録") \
ROW("keys_local", "keys made inside", "HSM 内で生成された鍵") \
ROW("keys_never_extractable", "keys never extractable", "取り出し不可の鍵") \
ROW("keys_imported", "keys imported", "インポートされた鍵") \
ROW("credentials", "credentials enrolled", "登録された認証情報") \
ROW("log_keys", "changes of the log key", "ログ鍵の変更") \
ROW("logins_failed", "logins failed", "ログイン失敗") \
ROW("votes_refused", "votes that do not count", "無効な投票") \
ROW("gateway_starts", "starts with build and configuration hash", "起動(ビルドと構成のハッシュ)") \
ROW("hsm_logs", "HSM logs", "HSM ログ") \
ROW("certificates_rebuilt", "signed things with fingerprint", "フィンガープリントのある署名物") \
ROW("certificates_unknown", "signatures whose data is not kept", "データ非保存の署名") \
ROW("purposes", "requests with a stated purpose", "目的が記された要求") \
ROW("clocks", "clock records", "時計の記録") \
ROW("not_in_ledger", "none in this ledger", "この台帳にはない") \
ROW("footer", "Made from the ledger's files and the trust file alone; nothing that a gateway says was believed. Times are the gateway's clock. Use of the HSM behind the gateway is not in a ledger: kanmon audit reconcile.", \
	"台帳ファイルと信頼ファイルのみから作成した。ゲートウェイの自己申告は用いていない。時刻はゲートウェイの時計による。ゲートウェイを経ない HSM の使用は台帳に現れない(kanmon audit reconcile で照合する)。") \
ROW("certificate", "certificate", "証明書") \
ROW("crl", "CRL", "CRL") \
ROW("csr", "certificate request", "CSR") \
ROW("ocsp", "OCSP response", "OCSP 応答") \
ROW("unknown", "unknown", "不明")
/* clang-format on */

#endif
