#!/bin/bash
# OpenSSH, directly and through a gateway: a CA key in the token signs users' and hosts' keys (ssh-keygen -D), alone and
# through ssh-agent; ssh-keygen without the token checks, and signs files under a key of the token (-Y sign).
# (ssh-keygen and ssh-agent take an absolute path to the module only.)
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/clients/both.sh"
two_ways
from=$(date -u -d yesterday +%Y%m%d) until=$(date -u -d '+30 days' +%Y%m%d)
printf '#!/bin/sh\nexec cat "%s"\n' "$PIN_FILE" >askpass && chmod 755 askpass
export SSH_ASKPASS=$work/askpass SSH_ASKPASS_REQUIRE=force DISPLAY=none
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }

cd "$work/direct" || exit 99
for type in rsa ec; do
	[ $type = rsa ] && bits='RSA -pkeyopt rsa_keygen_bits:2048' || bits='EC -pkeyopt ec_paramgen_curve:P-384'
	openssl genpkey -algorithm $bits -outform DER -out $type.key 2>/dev/null
	openssl pkey -inform DER -in $type.key -pubout -outform DER -out $type.der
done
ssh-keygen -q -t ed25519 -N '' -C user -f user
ssh-keygen -q -t rsa -b 2048 -N '' -C host -f host
head -c 20000 /dev/urandom >document
cp ./* "$work/gateway" && cd "$work" || exit 99
imported() {
	quietly p11 --write-object "$1.key" --type privkey --id "$2" --label "$1" --usage-sign &&
		quietly p11 --write-object "$1.der" --type pubkey --id "$2" --label "$1"
}
both 'an RSA key is imported' imported rsa 01
both 'an EC key is imported' imported ec 02
listed() { ssh-keygen -D "$MODULE" | sort; }
both 'public keys are listed' listed
of_type() { ssh-keygen -D "$MODULE" | grep "^$1" >"$2.pub" && ssh-keygen -l -f "$2.pub"; }
both 'the RSA key is the CA of users' of_type ssh-rsa user-ca
both 'the EC key is the CA of hosts' of_type ecdsa-sha2-nistp384 host-ca
certifies() { silently ssh-keygen -D "$MODULE" -s "$1-ca.pub" -I "$1 of test" -z 4711 "${@:2}" "$1.pub"; }
shown() { ssh-keygen -L -f "$1-cert.pub"; }
both 'the CA certifies a user' certifies user -n alice,root -V "$from:$until" -O clear -O force-command=/bin/true
both 'the certificate says the same' shown user
both 'and shows what was asked for' says 'force-command /bin/true' shown user
both 'the CA certifies a host' certifies host -h -n host.example -V "$from:$until"
both "the host's certificate says the same" shown host
# A certificate's signature is checked where it is used.
accepted() {
	(echo -n 'alice cert-authority ' && cat user-ca.pub) >allowed
	rm -f document.sig
	quietly ssh-keygen -Y sign -f user-cert.pub -n file document &&
		quietly ssh-keygen -Y verify -f allowed -I alice -n file -s document.sig <document
}
both "a file signed under the user's certificate is accepted by who trusts the CA" accepted
forged() { ssh-keygen -q -t ecdsa -N '' -f forger && quietly ssh-keygen -s forger -I x -n alice -V +1h user.pub && accepted; }
both 'but not under a certificate by another key' fails forged

agent() {
	local status
	eval "$(ssh-agent -s -P '*')" >/dev/null
	"$@"
	status=$?
	ssh-agent -k >/dev/null
	return $status
}
adds() { quietly ssh-add -s "$MODULE" && ssh-add -l | sort; }
both 'ssh-agent takes the token and lists its keys' agent adds
tests() { quietly ssh-add -s "$MODULE" && ssh-add -T rsa.pub ec.pub && echo both sign; }
keys() { for type in rsa ec; do ssh-keygen -i -m PKCS8 -f <(openssl pkey -pubin -inform DER -in $type.der) >$type.pub || return 1; done; }
both 'public keys of OpenSSH are made' keys
both 'ssh-agent signs with each (ssh-add -T)' agent tests
agent_certifies() {
	quietly ssh-add -s "$MODULE" && silently ssh-keygen -Us user-ca.pub -I agent -n bob -V "$from:$until" user.pub && shown user
}
both 'the CA certifies through the agent' agent agent_certifies
signs_file() {
	local name
	quietly ssh-add -s "$MODULE" || return 1
	for name in user-ca host-ca; do
		rm -f document.sig
		quietly ssh-keygen -Y sign -f $name.pub -n file document || return 1
		(echo -n 'ca ' && cat $name.pub) >allowed
		ssh-keygen -Y verify -f allowed -I ca -n file -s document.sig <document || return 1
		! quietly ssh-keygen -Y verify -f allowed -I ca -n file -s document.sig <user.pub || return 1
	done
}
both 'files are signed with both keys through the agent, and verify' agent signs_file
removed() { quietly ssh-add -s "$MODULE" && quietly ssh-add -e "$MODULE" && ssh-add -l; }
both 'the agent lets go of the token' says 'no identities' agent removed
again() { quietly ssh-add -s "$MODULE" && quietly ssh-add -e "$MODULE" && quietly ssh-add -s "$MODULE" && ssh-add -T rsa.pub; }
both 'and takes it again' agent again
two_ways_end
