/*
 * The subcommands of `kanmon`: one row each. The dispatcher, `kanmon help`
 * and `kanmon CMD --help` come from the rows; a new subcommand is a new row
 * and its function.
 */
#ifndef KANMON_TOOLS_COMMANDS_H
#define KANMON_TOOLS_COMMANDS_H

#include "kanmon/base.h"

/* Exit codes of every subcommand but `audit`, which has an auditor's own. */
enum kmn_exit {
	KMN_EXIT_OK = 0,
	KMN_EXIT_FAILED = 1, /* refused, or something went wrong; stderr says what */
	KMN_EXIT_USAGE = 2,  /* the command line cannot be understood; nothing was done */
};

/* clang-format off */
/*   name                function          arguments, one-line help, what --help teaches */
#define KMN_COMMAND_ROWS(ROW) \
ROW("init",              init,             "DIR --policy FILE --origin NAME --listen ADDRESS:PORT --module PATH", \
    "make a new gateway: its keys, settings and ledger", \
    "The policy is version 1, signed by its own policy quorum (kanmon policy sign). What auditors\n" \
    "get is DIR/trust, what clients pin is DIR/gateway.spki.\n\n" \
    "  kanmon init /var/lib/kanmon/gw1 --policy policy.note --origin kanmon.example/gw1/2026 \\\n" \
    "      --listen 192.0.2.7:7443 --module /usr/lib/softhsm/libsofthsm2.so\n" \
    "  kanmond --config /var/lib/kanmon/gw1/kanmond.conf\n") \
ROW("custodian new",     custodian_new,    "NAME --person ID --out DIR", \
    "make a custodian's signing key (sealed) and the certificate of their terminal", \
    "Writes NAME.key (sealed by a passphrase), NAME.vkey, NAME.crt and NAME.tls.key for the\n" \
    "connection, and NAME.policy: the lines that the policy needs. With --card the key is one that is on\n" \
    "a card already: NAME.card says which, for `custodian config`. With --webauthn it is on a security key.\n\n" \
    "  kanmon custodian new sato --person 0017 --out ~/kanmon\n" \
    "  kanmon custodian new mori --person 0020 --out ~/kanmon --card /usr/lib/opensc-pkcs11.so \\\n" \
    "      --token MORI --key 'SIGN key'\n" \
    "  cat ~/kanmon/sato.policy\n") \
ROW("custodian share-key", custodian_share_key, "FILE.key", \
    "print the line with the share key that goes with a key file", \
    "What custodian new writes has the line already; this is for keys made before. Asks for the passphrase.\n\n" \
    "  kanmon custodian share-key ~/kanmon/sato.key\n") \
ROW("custodian list",    custodian_list,   "[--policy FILE]", \
    "list the custodians of the policy in force, or of a policy file", \
    "  kanmon custodian list --as ~/kanmon/sato\n" \
    "  kanmon custodian list --policy policy.txt\n") \
ROW("custodian config",  custodian_config, "DIR/NAME --gateway ADDRESS:PORT --spki FILE --origin NAME", \
    "write NAME.conf: which gateway the custodian's tool talks to", \
    "  kanmon custodian config ~/kanmon/sato --gateway gw1.example:7443 \\\n" \
    "      --spki gateway.spki --origin kanmon.example/gw1/2026\n") \
ROW("client new",        client_new,       "NAME --out DIR", \
    "make the certificate and key of an application (a CA host)", \
    "Writes client.crt, client.key, client.cosign (with which it cosigns the ledger's heads; its public half is\n" \
    "client.vkey) and NAME.policy with the line that the policy needs.\n\n" \
    "  kanmon client new ca-prod --tokens root,issuing --out /etc/kanmon\n") \
ROW("client config",     client_config,    "DIR --gateway ADDRESS:PORT --spki FILE --origin NAME --log FILE", \
    "write kanmon.conf: which gateway the provider talks to, and by which key it judges the ledger's receipts", \
    "  kanmon client config /etc/kanmon --gateway gw1.example:7443 \\\n" \
    "      --spki gateway.spki --origin kanmon.example/gw1/2026 --log log.vkey\n" \
    "  KANMON_CONFIG=/etc/kanmon/kanmon.conf pkcs11-tool --module kanmon-pkcs11.so -L\n") \
ROW("policy check",      policy_check,     "FILE", \
    "parse a policy, check its signatures and say what is doubtful in it", \
    "  kanmon policy check policy.txt\n") \
ROW("policy explain",    policy_explain,   "FILE --client NAME --call FUNCTION", \
    "say which rule of a policy decides a call, and why each rule before it does not", \
    "The call is described by options. The token shows what its line asks; without --file the data is not known.\n\n" \
    "  kanmon policy explain policy.txt --client ca-prod --token root --call C_Sign \\\n" \
    "      --mechanism CKM_SHA384_RSA_PKCS --object root-ca --file tbs.der\n") \
ROW("policy diff",       policy_diff,      "OLD NEW", \
    "say in words whose rights change from one policy to another", \
    "First what lines say of persons, groups, clients, tokens and rules; then which calls would be decided\n" \
    "otherwise, tried with every client, token, object, function and mechanism that either policy names.\n\n" \
    "  kanmon policy diff policy-1.note policy-2.txt\n") \
ROW("policy sign",       policy_sign,      "FILE --key KEYFILE", \
    "add a custodian's signature to a policy", \
    "The policy is checked and shown before it is signed. FILE becomes a signed note, in place.\n\n" \
    "  kanmon policy sign policy.txt --key ~/kanmon/sato.key\n") \
ROW("policy show",       policy_show,      "[FILE]", \
    "show the policy in force, or a policy file, and who signed it", \
    "With --out it is written, signatures and all, for policy sign --previous and policy diff.\n\n" \
    "  kanmon policy show --as ~/kanmon/sato --out policy-1.note\n") \
ROW("policy next",       policy_next,      "[FILE]", \
    "draft the version after the policy in force, or after a policy file", \
    "Version, previous hash and dates are made; every other line is as it was. Change it, then policy check,\n" \
    "policy diff, policy sign --previous and policy submit.\n\n" \
    "  kanmon policy next --as ~/kanmon/sato --out policy-2.txt\n" \
    "  kanmon policy next policy-1.note --days 365 --out policy-2.txt\n") \
ROW("policy submit",     policy_submit,    "FILE [--recovery]", \
    "bring a signed policy to the gateway: it takes effect at once", \
    "It is the next version, signed by the policy quorums of the version in force and of its own. Open requests\n" \
    "end, and whom it does not name is dropped. With --recovery the role recovery of the version in force signed\n" \
    "instead: it takes effect after the delay of that role, if nobody of the role veto stops it.\n\n" \
    "  kanmon policy submit policy-2.note --as ~/kanmon/sato\n") \
ROW("policy veto",       policy_veto,      "--reason TEXT", \
    "stop the policy that the role recovery brought, while it waits", \
    "  kanmon policy veto --as ~/kanmon/sato --reason 'we have not lost our keys'\n") \
ROW("attest",            attest,           "--file FILE --title TEXT [--kind WORD]", \
    "sign the hash of a document (risk review, ceremony script, entry log) into the ledger", \
    "The document stays where it is: its length and hash, the title and the kind are what is signed and recorded.\n" \
    "Several persons may attest the same.\n\n" \
    "  kanmon attest --file review.pdf --title 'Risk review of the root CA' --kind risk-review --as ~/kanmon/sato\n") \
ROW("reopen",            reopen,           "FILE [--of NAME --reason TEXT] [--submit]", \
    "reopen a token that an anomaly sealed or degraded: signed by the policy's quorum, one after the other", \
    "The first one says token and reason, and makes FILE; the others add their signatures; the last one brings it.\n" \
    "kanmon status says what stands against which token.\n\n" \
    "  kanmon reopen root.reopen --of root --reason 'firmware updated as planned' --as ~/kanmon/sato\n" \
    "  kanmon reopen root.reopen --submit --as ~/kanmon/suzuki\n") \
ROW("request new",       request_new,      "--token LABEL --key LABEL --mechanism NAME " \
    "(--file FILE | --tbs-from CERT | --csr-info-from CSR)", \
    "ask ahead for a signature: custodians approve the content, the CA's call meets it later", \
    "--tbs-from takes the TBSCertificate (or TBSCertList) out of a pre-certificate that a throwaway\n" \
    "key signed; --csr-info-from takes the CertificationRequestInfo out of a CSR.\n\n" \
    "  kanmon request new --token root --key root-ca --mechanism CKM_SHA384_RSA_PKCS \\\n" \
    "      --tbs-from pre.crt --purpose 'root certificate, ceremony of 1 November'\n") \
ROW("attach",            attach,           "REQUEST --file FILE", \
    "show what the digest of a waiting call is of, so that custodians can decide on it", \
    "A rule with `content` lets a call that brings only a digest wait for its content. The client that called\n" \
    "attaches it; the gateway checks that it hashes to what is signed. What CMS attributes are over is --econtent.\n\n" \
    "  kanmon request list\n" \
    "  kanmon attach 184467 --tbs-from precertificate.pem --application APP-2026-0815 --applicant-key applicant.pem\n" \
    "  kanmon attach 184470 --file attributes.der --econtent tstinfo.der\n") \
ROW("lint",              lint,             "--file FILE", \
    "show what is to be signed in words, and what in it is allowed but hardly meant", \
    "The same lines and warnings that custodians see. Warnings are no part of what is signed and refuse nothing.\n\n" \
    "  kanmon lint --tbs-from precertificate.pem --issuer root.pem\n" \
    "  kanmon lint --csr-info-from request.pem\n") \
ROW("request list",      request_list,     "[--all]", \
    "list the requests that wait, with --all also those that ended", \
    "  kanmon request list --as ~/kanmon/sato\n") \
ROW("request show",      request_show,     "ID", \
    "show what a request asks for, who answered, and the text that approve would show, derived on this machine", \
    "  kanmon request show 42 --as ~/kanmon/sato\n") \
ROW("request withdraw",  request_withdraw, "ID [--reason TEXT]", \
    "take back a request of one's own", \
    "  kanmon request withdraw 42 --reason 'wrong serial number'\n") \
ROW("activation seal",   activation_seal,  "--token TOKEN --policy FILE --group GROUP --least M --out FILE", \
    "seal a token's PIN under shares of custodians: any M of them together open it, at a login they approve", \
    "At a machine of the ceremony: asks for the PIN, twice. FILE holds it in no form that fewer than M of the group\n" \
    "could open; it goes to the gateway (activation \"TOKEN\" { sealed-pin = \"FILE\" } in kanmond.conf). When the\n" \
    "group changes the PIN is dealt anew, with the same command.\n\n" \
    "  kanmon activation seal --token root --policy policy.note --group root-keepers --least 2 --out root.sealed-pin\n") \
ROW("activation show",   activation_show,  "FILE", \
    "say what a sealed PIN is of: token, custodians, and the hash that statements name", \
    "  kanmon activation show root.sealed-pin\n") \
ROW("approve",           approve,          "ID", \
    "check a request, show what will be signed, and approve it", \
    "Fetches the request, derives its statement again here, says what could not be verified, shows\n" \
    "the whole text, asks, signs with the sealed key and submits.\n\n" \
    "With --offline it answers a file of `request export` on a machine without network and writes\n" \
    "FILE.approval. Around the text it speaks English or Japanese (--language, LANG).\n\n" \
    "  kanmon approve 42 --as ~/kanmon/sato\n" \
    "  kanmon approve --offline 42.request --key sato.key\n") \
ROW("reject",            reject,           "ID --reason TEXT", \
    "reject a request, as a member of the group that would approve it", \
    "  kanmon reject 42 --as ~/kanmon/sato --reason 'validity is too long'\n") \
ROW("veto",              veto,             "ID --reason TEXT", \
    "stop a request, as a member of the role veto", \
    "  kanmon veto 42 --as ~/kanmon/sato --reason 'not in the ceremony script'\n") \
ROW("request export",    request_export,   "ID --out FILE", \
    "write all that a custodian needs to judge and answer a request on a machine without network", \
    "  kanmon request export 42 --out /media/usb/42.request --as ~/kanmon/sato\n" \
    "  kanmon approve --offline /media/usb/42.request --card MODULE --token SATO --key sign   (there)\n" \
    "  kanmon approval import /media/usb/42.request.approval --as ~/kanmon/sato\n") \
ROW("approval import",   approval_import,  "FILE", \
    "bring an answer (approval, rejection, veto) that was signed offline; any terminal may", \
    "  kanmon approval import /media/usb/42.request.approval --as ~/kanmon/sato\n") \
ROW("status",            status,           "", \
    "say how the gateway is", \
    "  kanmon status --as ~/kanmon/sato --json\n") \
ROW("witness new",       witness_new,      "NAME --out DIR", \
    "make a witness' key", \
    "Writes DIR/witness.key and DIR/witness.vkey, and prints the vkey: it goes into the policies of\n" \
    "gateways (witness NAME VKEY) and into auditors' trust files.\n\n" \
    "  kanmon witness new witness.example/w1 --out /var/lib/kanmon-witness\n") \
ROW("witness serve",     witness_serve,    "DIR --listen ADDRESS:PORT --log FILE", \
    "cosign the checkpoints of logs that ask over HTTP (C2SP tlog-witness), until it is ended", \
    "Cosigns a head only if it is proven to have grown out of the one cosigned before, which is\n" \
    "kept in DIR/state before the answer leaves.\n\n" \
    "  kanmon witness serve /var/lib/kanmon-witness --listen 192.0.2.9:8080 --log gw1/log.vkey\n") \
ROW("witness sign",      witness_sign,     "DIR FILE.add-checkpoint --log FILE", \
    "the same for questions in files: writes FILE.cosig", \
    "  kanmon witness sign ~/witness /media/usb/7.add-checkpoint --log log.vkey\n") \
ROW("witness request",   witness_request,  "LEDGER --old N", \
    "write the question for a witness that no network reaches, from a ledger's files", \
    "  kanmon witness request /var/lib/kanmon/gw1/ledger --old 4711 --out /media/usb/7.add-checkpoint\n") \
ROW("witness import",    witness_import,   "FILE.cosig", \
    "bring a witness' answer to the gateway; FILE.add-checkpoint lies beside it", \
    "  kanmon witness import /media/usb/7.cosig --as ~/kanmon/sato\n") \
ROW("hsm-log submit",    hsm_log_submit,   "LEDGER FILE --format FORMAT", \
    "match rows of the HSM's own log with the ledger, and have the gateway record them", \
    "FORMAT says what the lines mean (docs/auditor.md). Rows that were brought before are passed over.\n" \
    "Exit: 0 all have their record; 1 some have none, and that is recorded too, or it could not be done.\n\n" \
    "  kanmon hsm-log submit gw1/ledger /var/log/hsm.log --format hsm-log.syslog --as ~/kanmon/sato\n" \
    "  kanmon audit verify gw1/ledger --trust gw1/trust --hsm-format hsm-log.syslog\n") \
ROW("ledger succeed",    ledger_succeed,   "OLD NEW --log-key FILE --new-log-key FILE --policy NOTE", \
    "close the ledger of a stopped gateway and begin its successor: a new year, a new key", \
    "The policy is the new ledger's first, signed, with a new origin. The old ledger's last record names the\n" \
    "new one, and the new one's first names the old one's last head.\n" \
    "Exit: 0 done; 1 refused, and nothing was written, or a run that was cut off can be repeated.\n\n" \
    "  kanmon ledger succeed gw/ledger gw/ledger-2027 --log-key gw/log.key --new-log-key gw/log-2027.key \\\n" \
    "    --policy policy-2027.note\n" \
    "  kanmon audit verify gw/ledger gw/ledger-2027 --trust trust\n") \
ROW("ledger renew",      ledger_renew,     "LEDGER --log-key FILE --tsa NAME --roots FILE --ask COMMAND", \
    "time-stamp the newest time stamp of a stopped ledger again, or with --rehash all of it by SHA-512", \
    "Once a year, and before a certificate of the TSA ends. COMMAND reads an RFC 3161 request and writes\n" \
    "the answer.\n\n" \
    "  kanmon ledger renew gw/ledger --log-key gw/log.key --tsa tsa-1 --roots tsa-roots.pem \\\n" \
    "      --ask 'curl -sf -H Content-Type:application/timestamp-query --data-binary @- http://tsa.example/'\n") \
ROW("ledger recover",    ledger_recover,   "LEDGER --accept-head --reason TEXT --out FILE", \
    "write what the quorum signs to let a ledger go on that is behind a guard", \
    "A gateway that halted at a guard left the heads in LEDGER/state/recovery.proposal. The signed file is\n" \
    "brought by kanmond --recovery FILE, and stands in the ledger.\n\n" \
    "  kanmon ledger recover /var/lib/kanmon/gw1/ledger --accept-head --out recovery \\\n" \
    "    --reason 'disk lost on 23 November; restored from the backup of the 22nd'\n") \
ROW("ledger sign",       ledger_sign,      "FILE --key FILE", \
    "sign that, as a person of the policy's quorum", \
    "  kanmon ledger sign recovery --key ~/kanmon/sato.key\n") \
ROW("audit verify",      audit_verify,     "LEDGER... --trust FILE", \
    "verify a ledger offline: its files, a trust file, and nothing that a gateway says", \
    "Exit: 0 verified; 1 failed, each finding says where; 2 verified, but short of the witnesses or\n" \
    "anchors that the trust file asks for; 3 input is missing that a check needs. Without a\n" \
    "checkpoint in the ledger and without --head nobody can say that nothing was cut off: 3.\n\n" \
    "  kanmon audit verify /var/lib/kanmon/gw1/ledger --trust trust\n" \
    "  kanmon audit verify copy/ledger --trust trust --head checkpoint.of.last.year\n" \
    "  kanmon audit verify ledger-2026 ledger-2027 --trust trust    (each succeeds the one before)\n") \
ROW("audit show",        audit_show,       "LEDGER", \
    "show the records of a ledger: when, which, who, with which key, what, and what became of it", \
    "Framing, chain and roots are checked while reading; signatures are not: that is verify's.\n" \
    "Exit: 0 shown; 1 the ledger is damaged; 3 it cannot be read.\n\n" \
    "  kanmon audit show /var/lib/kanmon/gw1/ledger --type result\n" \
    "  kanmon audit show ledger --request 42\n" \
    "  kanmon audit show ledger --since 2026-11 --key root-ca --custodian sato\n" \
    "  kanmon audit show ledger --csv > ledger.csv\n" \
    "  kanmon audit show ledger --json | jq 'select(.type==\"approval\").body.note'\n") \
ROW("audit request",     audit_request,    "LEDGER INDEX", \
    "tell the whole story of one request, with every digest beside each of its appearances", \
    "INDEX is the request's, or that of any record about it. The statement is made again, each vote's\n" \
    "signature and the HSM's are verified again; each comparison is marked equal or DIFFERENT.\n" \
    "Exit: 0 all equal; 1 something differs, or the ledger is damaged; 3 there is no such request.\n\n" \
    "  kanmon audit request /var/lib/kanmon/gw1/ledger 42\n") \
ROW("audit certificates", audit_certificates, "LEDGER", \
    "list every certificate, CRL, request and OCSP response signed, with fingerprints and approvers", \
    "Each is made whole again from the data that was signed and the signature in the ledger, so the\n" \
    "fingerprints (SHA-256, SHA-384, SHA-512) are those of the certificate that was issued.\n" \
    "Exit: 0 listed; 1 a signature does not verify, or the ledger is damaged; 3 it cannot be read.\n\n" \
    "  kanmon audit certificates ledger --csv > certificates.csv\n" \
    "  kanmon audit certificates ledger --out rebuilt\n") \
ROW("audit reconcile",   audit_reconcile,  "LEDGER (--certificates PATH | --hsm-log FILE --format FILE)", \
    "compare what was issued, or the HSM's own log, with the ledger, both ways", \
    "--certificates: matched are content and signature, also where the HSM was only given a digest. A rogue is\n" \
    "signed by a key of the ledger and has no record; missing is what a record signed and nobody brought.\n" \
    "--hsm-log: each row of the HSM, or each counter, has its records in the ledger; one that has none is use of\n" \
    "the HSM behind the gateway's back. --format says what its lines mean (examples: hsm-log.*).\n" \
    "Exit: 0 all have their records; 1 a rogue, an unmatched row, or a damaged ledger; 3 something cannot be read.\n\n" \
    "  kanmon audit reconcile ledger --certificates /srv/ca/issued\n" \
    "  kanmon audit reconcile ledger --hsm-log yubihsm.log --format hsm-log.yubihsm2\n") \
ROW("audit report",      audit_report,     "LEDGER --trust FILE --out FILE", \
    "verify a ledger and write one page about it: what was done, by whom, with which key", \
    "HTML without scripts, that loads nothing and prints well; --json FILE has the same as data.\n" \
    "Exit: as verify.\n\n" \
    "  kanmon audit report ledger --trust trust --out report.html --json report.json\n" \
    "  kanmon audit report ledger --trust trust --out report-ja.html --language ja\n") \
ROW("audit prove",       audit_prove,      "LEDGER INDEX", \
    "write the proof that a record is in the tree that the checkpoint signs (C2SP tlog-proof)", \
    "Exit: 0 written; 1 the ledger is damaged; 3 it has no such record, or no checkpoint.\n\n" \
    "  kanmon audit prove /var/lib/kanmon/gw1/ledger 42 > record-42.tlog-proof\n") \
ROW("audit bundle",      audit_bundle,     "LEDGER INDEX", \
    "write all evidence of one operation into one file: from what custodians signed to what the HSM returned", \
    "INDEX is that of the request or of any record about it; an `op`, or a call that no rule held, has one too. `kanmon audit bundle verify` judges the file with\n" \
    "the trust file alone. Exit: 0 written; 1 the ledger is damaged; 3 no such operation, or no checkpoint.\n\n" \
    "  kanmon audit bundle /var/lib/kanmon/gw1/ledger 42 > request-42.bundle\n") \
ROW("audit bundle verify", audit_bundle_verify, "FILE --trust FILE", \
    "does what was shown and signed, what policy demanded and what the HSM returned agree?", \
    "Exit: 0 they agree; 1 they do not, or the bundle was changed; 2 they do, but witnesses or time stamps that the\n" \
    "trust file asks for are not there; 3 something is missing that a question needs.\n\n" \
    "  kanmon audit bundle verify request-42.bundle --trust trust\n")
/* clang-format on */

/* Each takes its own words: argv[0] is the last word of its name. */
#define KMN_COMMAND_PROTOTYPE(name, function, arguments, help, teach) int kmn_cmd_##function(int argc, char **argv);
KMN_COMMAND_ROWS(KMN_COMMAND_PROTOTYPE)
#undef KMN_COMMAND_PROTOTYPE

#endif
