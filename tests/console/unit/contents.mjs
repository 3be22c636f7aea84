/*
 * Contents in words: certificates, CRLs and requests that OpenSSL made, decoded here and by the auditor's program. A ledger
 * in which a request is about them, with the statement that the browser makes: it is the one that is made again there.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { readSigned } from '../../../server/console/www/js/verify/cms.js';
import { decodeContent } from '../../../server/console/www/js/verify/content.js';
import { inside, OCTET_STRING, SEQUENCE } from '../../../server/console/www/js/verify/der.js';
import { parseNote } from '../../../server/console/www/js/verify/note.js';
import { parsePolicy } from '../../../server/console/www/js/verify/policy.js';
import { makeStatement, materialOf } from '../../../server/console/www/js/verify/statement.js';
import { test as t } from '../browser/tap.mjs';
import { H, Ledger } from './forge.mjs';
import { forgedOver, makeAuthorities, tokenOver } from './stamps.mjs';

const { KMN_WORK: work, KMN_SOURCE: source } = process.env;
const examples = `${source}/docs/examples`;
const b64 = (bytes) => Buffer.from(bytes).toString('base64');

const openssl = (...words) => execFileSync('openssl', words, { cwd: work, stdio: ['ignore', 'pipe', process.env.KMN_LOUD ? 'inherit' : 'ignore'] });
/* What is signed of a certificate, CRL or request in DER. */
const signedPart = (der) => Buffer.from(inside(der, (outer) => outer.inside(SEQUENCE, (body) => {
	const { whole } = body.any();
	while (!body.done)
		body.any();
	return whole;
})));

const CONFIG = `
[req]
distinguished_name = dn
prompt = no
utf8 = yes
[dn]
C = JP
O = "Example, Inc. = <x>"
0.OU = 第一認証局
CN = \\#1 Root
[ca]
default_ca = me
[me]
database = ${work}/index
crlnumber = ${work}/crlnumber
default_md = sha256
default_crl_days = 30
crl_extensions = crl
[crl]
authorityKeyIdentifier = keyid:always
issuingDistributionPoint = critical,@idp
[idp]
fullname = URI:http://crl.example/a.crl
onlyCA = TRUE
[points]
fullname = URI:http://crl.example/a.crl,DNS:crl.example
CRLissuer = dirName:dn
[policy]
policyIdentifier = 1.2.3.4
CPS.1 = "http://cps.example/"
userNotice.1 = @notice
[notice]
explicitText = "text"
[name]
C = JP
CN = 代替
`;

const EXTENSIONS = {
	'a root': ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash',
		'authorityKeyIdentifier=keyid:always'],
	'a server': ['basicConstraints=CA:FALSE', 'keyUsage=digitalSignature,keyAgreement,decipherOnly', 'extendedKeyUsage=serverAuth,clientAuth,1.2.3.4',
		'subjectAltName=DNS:a.example,IP:192.0.2.1,email:a@a.example,URI:https://a.example/x?y=z,RID:1.2.3,dirName:name'],
	'a policy': ['certificatePolicies=2.5.29.32.0,@policy', 'policyConstraints=critical,requireExplicitPolicy:3,inhibitPolicyMapping:0',
		'inhibitAnyPolicy=critical,2'],
	'name constraints': ['nameConstraints=critical,permitted;DNS:a.example,permitted;IP:192.0.2.0/255.255.255.0,excluded;email:b.example'],
	'where CRLs are': ['crlDistributionPoints=points', 'freshestCRL=URI:http://crl.example/d', 'authorityInfoAccess=OCSP;URI:http://o.example,caIssuers;URI:http://i.example',
		'subjectInfoAccess=1.2.3;URI:http://s.example'],
	'what nobody knows': ['1.2.3.4.5=critical,DER:0102', `1.2.3.4.6=DER:${'30'.repeat(400)}`, 'issuerAltName=DNS:i.example'],
};

function make() {
	writeFileSync(`${work}/ca.cnf`, CONFIG + Object.values(EXTENSIONS).map((list, n) => `[ext${n}]\n${list.join('\n')}\n`).join('') + '[none]\n');
	writeFileSync(`${work}/index`, ['01', '02', 'ff00'].map((serial, n) => `R\t300101000000Z\t26010${n + 1}000000Z${['', ',keyCompromise', ',superseded'][n]}\t${serial}\tunknown\t/CN=x\n`).join('') +
		'V\t300101000000Z\t\t04\tunknown\t/CN=y\n');
	writeFileSync(`${work}/crlnumber`, '1000\n');
	openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'ec.key');
	openssl('genpkey', '-algorithm', 'ED25519', '-out', 'ed.key');
	const certificate = (list, key = 'ec.key') => openssl('req', '-new', '-x509', '-key', key, '-config', 'ca.cnf', '-outform', 'DER',
		'-days', '3650', '-extensions', list);
	const made = Object.keys(EXTENSIONS).map((name, n) => [name, certificate(`ext${n}`)]);
	made.push(['an Ed25519 key', certificate('ext1', 'ed.key')]);
	made.push(['a request', openssl('req', '-new', '-key', 'ec.key', '-config', 'ca.cnf', '-outform', 'DER', '-addext', 'keyUsage=cRLSign')]);
	made.push(['a request without extensions', openssl('req', '-new', '-key', 'ec.key', '-config', 'ca.cnf', '-outform', 'DER')]);
	writeFileSync(`${work}/ca.pem`, openssl('x509', '-inform', 'DER', '-in', writeTo('ca.der', made[0][1])));
	made.push(['a CRL', pemToDer(openssl('ca', '-gencrl', '-config', 'ca.cnf', '-keyfile', 'ec.key', '-cert', 'ca.pem'))]);
	return made.map(([name, der]) => [name, signedPart(der)]);
}

/* What a responder signs: of revoked, good and unknown certificates, by name or by key. */
function makeResponse(...words) {
	openssl('ocsp', '-issuer', 'ca.pem', '-serial', '1', '-serial', '2', '-serial', '4', '-serial', '77', '-reqout', 'ocsp.req');
	openssl('ocsp', '-index', 'index', '-CA', 'ca.pem', '-rsigner', 'ca.pem', '-rkey', 'ec.key', '-reqin', 'ocsp.req', '-respout', 'ocsp.resp', ...words);
	const basic = inside(readFileSync(`${work}/ocsp.resp`), (outer) => outer.inside(SEQUENCE, (der) => {
		der.any();
		return der.inside(0xa0, (one) => one.inside(SEQUENCE, (two) => two.any() && two.take(OCTET_STRING).inner));
	}));
	return signedPart(basic);
}

/* What a key signs of CMS, and the content proper. */
function makeAttributes(type, content, ...words) {
	writeFileSync(`${work}/cms.in`, content);
	const { signer } = readSigned(openssl('cms', '-sign', '-in', 'cms.in', '-signer', 'ca.pem', '-inkey', 'ec.key', '-binary', '-nodetach', '-outform', 'DER',
		'-econtent_type', type, ...words));
	return signer.attributes;
}

const stamped = (token) => {
	const { content, signer } = readSigned(token);
	return [signer.attributes, content];
};

/* [name, what is signed, what that is about, first of its lines]. */
function makeMore() {
	makeAuthorities();
	const about = Buffer.from('a content proper');
	const authenticode = makeAttributes('1.3.6.1.4.1.311.2.1.4', about, '-cades', '-md', 'sha512');
	return [
		['an OCSP response, by name', makeResponse('-ndays', '3'), undefined, 'responder '],
		['an OCSP response, by key, of an instant', makeResponse('-resp_key_id'), undefined, 'responder key:'],
		['signed attributes', authenticode, undefined, 'content-type authenticode'],
		['signed attributes and what they are over', authenticode, about, 'econtent-len 16'],
		['attributes of an unknown type', makeAttributes('1.2.3.4', about), undefined, 'content-type 1.2.3.4'],
		['a time stamp', ...stamped(tokenOver(about)), 'tst-nonce '],
		['a time stamp with all its parts', ...stamped(tokenOver(about, { alg: 'sha512', config: 'tsa_name = yes\nclock_precision_digits = 3\n' })), 'tsa name:'],
		['a time stamp without its content', stamped(tokenOver(about))[0], undefined, 'content-type tst-info'],
		['a time stamp that names its certificate by SHA-1', ...stamped(tokenOver(about, { config: 'ess_cert_id_alg = sha1\n' })), 'signing-certificate sha1 '],
		['a time stamp with what nobody knows', ...stamped(forgedOver(about, { attribute: '-nosmimecap' })), 'tst-version '],
	];
}

function writeTo(name, bytes) {
	writeFileSync(`${work}/${name}`, bytes);
	return name;
}

const pemToDer = (pem) => Buffer.from(String(pem).replace(/-----[^-]*-----|\n/g, ''), 'base64');

/* The ledger with the data in place of what a request was about, and the statement as it is made here. */
async function statementOver(data, econtent) {
	const ledger = new Ledger(`${examples}/ledger`, Buffer.from(readFileSync(`${examples}/log.key`, 'utf8').trim(), 'base64'));
	const intent = ledger.records.find((record) => record.type === 'intent' && record.body.op === 'C_Sign' && record.body.mech.name === 'CKM_SHA256_RSA_PKCS');
	const like = execFileSync('kanmon', ['audit', 'bundle', `${examples}/ledger`, String(intent.i)], { encoding: 'utf8' }).split('\n');
	const body = { ...intent.body, in: { sha256: b64(H(data)), len: data.length }, norm: { ...intent.body.norm, digest: b64(H(data)) },
		...econtent === undefined ? {} : { econtent: { sha256: b64(H(econtent)), len: econtent.length } } };
	intent.body = body;
	ledger.remake(intent.i);
	const record = ledger.records.find((one) => one.type === 'statement' && one.body.request.i === intent.i);
	const policy = await parsePolicy(parseNote(ledger.records[0].body.policy).text);
	record.body.head = { size: intent.i + 1, root: ledger.checkpoint(intent.i + 1).split('\n')[2] };
	const request = { i: intent.i, t: intent.t, leaf: ledger.leaves[intent.i], body, attachment: null };
	const material = await materialOf(body, new Map([[body.in.sha256, data], ...econtent === undefined ? [] : [[body.econtent.sha256, econtent]]]));
	record.body.text = await makeStatement(request, policy, policy.rules.find((rule) => rule.name === 'root-key'), record.body.head, material, '');
	record.body.sha256 = b64(H(record.body.text));
	ledger.remake(record.i);
	const others = like.filter((line) => line.startsWith('blob ')).map((line) => Buffer.from(line.slice(5), 'base64'));
	return { ledger, like: like.filter((line) => !line.startsWith('blob ') && !/^consistency /.test(line)), blobs: [...others, data, ...econtent === undefined ? [] : [econtent]], intent, record };
}

function ask({ ledger, like, blobs, record }) {
	const wanted = [...like.slice(0, like.indexOf('end')), `consistency ${record.body.head.size} 0`];
	const text = ledger.bundle(wanted.join('\n')).replace(/end\n$/, '');
	const sorted = blobs.toSorted((a, b) => Buffer.compare(H(a), H(b))).map((blob) => `blob ${b64(blob)}\n`).join('');
	writeFileSync(`${work}/content`, `${text}${sorted}end\n`);
	writeFileSync(`${work}/content.trust`, readFileSync(`${examples}/trust`, 'utf8').replace(/^(?:tsa|witness|quorum) .*\n/gm, '').concat('quorum none\n'));
	const said = spawnSync('kanmon', ['audit', 'bundle', 'verify', `${work}/content`, '--trust', `${work}/content.trust`, '--json'], { encoding: 'utf8' });
	return JSON.parse(said.stdout).answers.find((one) => one.topic === 'signed').text;
}

export function contents() {
	const all = [...make().map(([name, data]) => [name, data, undefined, 'version ']), ...makeMore()];
	for (const [name, data, econtent, line] of all)
		t(`${name} reads here as there`, async () => {
			const forged = await statementOver(data, econtent);
			const { text } = forged.record.body;
			assert.ok(text.includes(`\ninput ${line}`), text);
			/* the old votes are the first thing that is wrong */
			assert.match(ask(forged), /^record \d+: recorded as 'ok', but it is: there is no such request/);
			forged.record.body.text = text.replace(`\ninput ${line}`, (whole) => `${whole}0`);
			forged.record.body.sha256 = b64(H(forged.record.body.text));
			forged.ledger.remake(forged.record.i);
			assert.match(ask(forged), /^record \d+: the text is not the statement .* made again/);
		});
	t('attributes over another content than is attached say nothing', async () => {
		const [, data] = all.find(([name]) => name === 'signed attributes');
		await assert.rejects(decodeContent(data, Buffer.from('another content')), { why: 'unknown.content' });
	});
	t('what only begins like a certificate is not read', async () => {
		const tbs = signedPart(openssl('x509', '-in', 'ca.pem', '-outform', 'DER'));
		assert.equal(await decodeContent(tbs.subarray(0, -1)), null);
		assert.equal(await decodeContent(Buffer.concat([tbs, Buffer.of(0)])), null);
		assert.equal(await decodeContent(Buffer.from('0123456789')), null);
		for (let at = 4; at < tbs.length; at += 3) {
			const bent = Buffer.from(tbs);
			bent[at] ^= 0x20;
			const [before, after] = [await decodeContent(tbs), await decodeContent(bent).catch((error) => error)];
			assert.ok(after === null || after.why === 'unknown.content' || after.lines.join() !== before.lines.join(), `byte ${at}`);
		}
	});
}
