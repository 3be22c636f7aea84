#!/bin/bash
# What the kanmon command does without a gateway.
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99

echo 'correct horse' >pass
export KANMON_PASSPHRASE_FILE=$work/pass

t 'help lists the commands and ends well' says '^  custodian new ' kanmon help
t 'without a command the list comes with exit code 2' exits 2 kanmon
t 'an unknown command is a matter of usage' exits 2 kanmon conquer
t 'half a command lists what begins so' says 'custodian config' kanmon custodian
t 'each command teaches with an example' says 'kanmon approve 42 --as' kanmon approve --help
t 'an unknown option is a matter of usage' exits 2 kanmon client new ca --what
t 'a missing option is a matter of usage' exits 2 kanmon client new ca

t 'client new makes a certificate and a key' kanmon client new ca --tokens root,issuing --operators ito --out ca
t 'the key is closed to others' mode 600 ca/client.key
t 'the key for cosigning is closed to others' mode 600 ca/client.cosign
t 'and its public half is that of a cosigner of this name' grep -q -E '^ca[+][0-9a-f]{8}[+]B' ca/client.vkey
t 'the certificate names the client' says 'CN = ca$' openssl x509 -in ca/client.crt -noout -subject
t 'the certificate is for two years' openssl x509 -in ca/client.crt -noout -checkend $((729 * 86400))
t 'and not for longer' exits 1 openssl x509 -in ca/client.crt -noout -checkend $((731 * 86400))
t 'key and certificate belong together' cmp <(openssl x509 -in ca/client.crt -noout -pubkey) <(openssl pkey -in ca/client.key -pubout)
pin() { openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64; }
t 'the policy line pins the public key' grep -q -F "client ca spki:$(pin ca/client.crt) tokens root issuing operators ito" ca/ca.policy
t 'a second client does not overwrite the first' exits 1 kanmon client new ca --tokens root --out ca

t 'a warning about what will be signed is said in English' says '^WARNING: *[a-z]' kanmon lint --tbs-from ca/client.crt --language en
t 'and in Japanese, by the same name' test "$(kanmon lint --tbs-from ca/client.crt --language ja | sed -n 's/^警告: .*(\([a-z-]*\))$/\1/p')" = \
	"$(kanmon lint --tbs-from ca/client.crt --language en | sed -n 's/^WARNING:.*(\([a-z-]*\))$/\1/p')"
t 'another language is a matter of usage' exits 2 kanmon lint --tbs-from ca/client.crt --language fr
for name in sato suzuki tanaka; do
	t "custodian new makes the files of $name" kanmon custodian new $name --person 00$name --out c --weak-seal
done
t 'the sealed key is closed to others' mode 600 c/sato.key
t 'the key file does not hold the passphrase' exits 1 grep -q 'correct horse' c/sato.key
t "the terminal's policy line pins its key" grep -q -F "terminal sato person:00sato spki:$(pin c/sato.crt)" c/sato.policy
t 'a custodian is not overwritten' exits 1 kanmon custodian new sato --person 1 --out c --weak-seal
t 'a name with a slash is refused' exits 2 kanmon custodian new ../sato --person 1 --out c --weak-seal
t 'without a terminal a missing passphrase fails at once' exits 1 \
	env -u KANMON_PASSPHRASE_FILE setsid kanmon custodian new mori --person 9 --out c --weak-seal
t 'and leaves nothing' exits 1 test -e c/mori.key

{
	printf 'kanmon/policy/v1\norigin kanmon.example/gw1/2026\nversion 1\nprevious none\n'
	printf 'not-before 2026-01-01T00:00:00Z\nexpires 2036-01-01T00:00:00Z\n\n'
	cat c/*.policy ca/ca.policy
	printf 'token root\ntoken issuing\n\ngroup keepers 2 sato suzuki tanaka\nrole policy 2 sato suzuki tanaka\n\n'
	printf 'rule sign\n  client ca\n  calls login session query key-use\n  need keepers\n'
} | sed 's/ operators ito//' >policy

t 'a policy is read and its hash shown' says '^sha256 ' kanmon policy check policy
t 'a policy that nobody signed is not complete' exits 1 kanmon policy check policy --complete
t 'custodians of a policy file are listed' says '^tanaka  *00tanaka' kanmon custodian list --policy policy
t 'init refuses a policy without its signatures' exits 1 kanmon init gw --policy policy \
	--origin kanmon.example/gw1/2026 --listen 127.0.0.1:7443 --module /bin/true
t 'a custodian signs' kanmon policy sign policy --key c/sato.key --yes
t 'one of two is not enough' exits 1 kanmon policy check policy --complete
t 'a second one signs' kanmon policy sign policy --key c/suzuki.key --yes
t 'then the policy is complete' kanmon policy check policy --complete
t 'who signed is shown' says '^signed by suzuki' kanmon policy check policy
t 'JSON says the same' test '[true,["sato","suzuki"]]' = "$(kanmon policy check policy --json | jq -c '[.complete,.signed_by]')"
echo 'wrong' >wrong
cp policy before
t 'a wrong passphrase signs nothing' exits 1 kanmon policy sign policy --key c/tanaka.key --yes --passphrase-file wrong
t 'and the file is as it was' cmp policy before
kanmon custodian new mori --person 77 --out other --weak-seal >/dev/null
t 'a key that the policy does not know signs nothing' exits 1 kanmon policy sign policy --key other/mori.key --yes
sed 's/version 1/version 2/' policy >altered
t 'an altered policy fails' exits 1 kanmon policy check altered
sed 's/^rule sign/rule sign\n  conquer world/' before | sed '/^\xe2\x80\x94/d' >bad
t 'a line that is none is told with its number' says 'bad:[0-9][0-9]*: ' kanmon policy check bad

init() { kanmon init "$1" --policy policy --origin "$2" --listen 127.0.0.1:7443 --module /bin/true --environment A=b; }
t 'init refuses a policy of another gateway' exits 1 init gw kanmon.example/gw2/2026
t 'init refuses a user that is not there' says 'there is no user nobody-of-kanmon' kanmon init gw --policy policy \
	--origin kanmon.example/gw1/2026 --listen 127.0.0.1:7443 --module /bin/true \
	--gate-user 60001 --keeper-user nobody-of-kanmon --worker-user 60003
t 'and makes nothing then' exits 1 test -e gw
t 'init makes a gateway' init gw kanmon.example/gw1/2026
t 'the log key is closed to others' mode 600 gw/log.key
t 'the pin is that of the certificate' says "^$(pin gw/gateway.crt)" cat gw/gateway.spki
t 'the trust file pins the policy' grep -q -F "policy-sha256 $(kanmon policy check policy --json | jq -r .sha256)" gw/trust
t 'a ledger with its genesis is there' grep -q -r '"type":"genesis"' gw/ledger
t 'a second init touches nothing' exits 1 init gw kanmon.example/gw1/2026
t 'kanmond finds nothing wrong with what init made' kanmond --config gw/kanmond.conf --check
sed 's|path = .*|path = "/nowhere.so"|' gw/kanmond.conf >gw/elsewhere.conf
t 'a module that is not there is found before the start' says 'module /nowhere.so: No such file' kanmond --config gw/elsewhere.conf --check
t 'the ledger key for clients is the one of the trust file' grep -q -F -x "log $(cat gw/log.vkey)" gw/trust
config='--gateway 127.0.0.1:7443 --spki gw/gateway.spki --origin kanmon.example/gw1/2026'
t 'client config writes the file' kanmon client config ca $config --log gw/log.vkey
t 'with the ledger key in it' grep -q -F -x "log-key = {\"$(cat gw/log.vkey)\"}" ca/kanmon.conf
t 'and the key for cosigning' grep -q -F -x 'cosign-key = "client.cosign"' ca/kanmon.conf
t 'a client without the ledger key says that it wants no receipts' exits 2 kanmon client config ca $config
t 'and may' kanmon client config ca $config --receipts off --state none
t 'a ledger key that is none is refused' exits 1 kanmon client config ca $config --log gw/gateway.spki
t 'a mode of receipts that is none is refused' exits 2 kanmon client config ca $config --log gw/log.vkey --receipts some
t 'custodian config too' kanmon custodian config c/sato --gateway 127.0.0.1:7443 --spki gw/gateway.spki --origin kanmon.example/gw1/2026
t 'a pin that is none is refused' exits 1 kanmon client config ca --gateway a:1 --spki pass --origin o --receipts off
t 'a gateway that does not answer is said' says 'does not answer' kanmon status --as c/sato
t 'and is exit code 1' exits 1 kanmon status --as c/sato
t 'an approval needs a custodian' exits 2 kanmon approve 4
t 'a rejection needs a reason' exits 2 kanmon reject 4 --as c/sato
t 'a request has one source' exits 2 kanmon request new --token root --key k --mechanism CKM_ECDSA --file a --tbs-from b
t_end
