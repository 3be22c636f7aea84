/*
 * Time stamps of a bundle: tokens that OpenSSL made, right and wrong, judged here and by `kanmon audit bundle verify`.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { readSigned } from '../../../server/console/www/js/verify/cms.js';
import { parseTrust } from '../../../server/console/www/js/verify/trust.js';
import { readTst } from '../../../server/console/www/js/verify/tst.js';
import { verifyBundle } from '../../../server/console/www/js/verify/verdict.js';
import { test as t } from '../browser/tap.mjs';
import { H } from './forge.mjs';
import { worldOf } from './world.mjs';

const { KMN_WORK: work } = process.env;
const long = process.env.KMN_TEST_LONG !== undefined;
const b64 = (bytes) => Buffer.from(bytes).toString('base64');
const openssl = (...words) => execFileSync('openssl', words, { cwd: work, stdio: ['ignore', 'pipe', process.env.KMN_LOUD ? 'inherit' : 'ignore'] });
const NONCE = '00f1e2d3c4b5a697';

const CONFIG = `
[req]
distinguished_name = dn
prompt = no
[dn]
CN = TSA
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[between]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer:always
[plain]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = critical,timeStamping
authorityKeyIdentifier = keyid
[soft]
extendedKeyUsage = timeStamping
[other]
extendedKeyUsage = critical,serverAuth
[too]
extendedKeyUsage = critical,timeStamping,serverAuth
[encrypts]
keyUsage = keyEncipherment
extendedKeyUsage = critical,timeStamping
[named]
extendedKeyUsage = critical,timeStamping
1.2.3.4 = critical,DER:0500
[tsa]
default_tsa = me
[me]
serial = ${work}/tsa.serial
crypto_device = builtin
default_policy = 1.2.3.4.5
digests = sha256, sha512
accuracy = secs:1, millisecs:500
ordering = yes
signer_digest = sha256
`;

/* A key and its certificate, by name; `by`: whose key signs it, itself where there is none. */
function certificate(name, list, { by = name, algorithm = ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], days = 30 } = {}) {
	openssl('genpkey', '-algorithm', ...algorithm, '-out', `${name}.tkey`);
	const request = ['req', '-new', '-key', `${name}.tkey`, '-config', 'tsa.cnf', '-subj', `/CN=${name}`];
	if (by === name) {
		openssl(...request, '-x509', '-days', '3650', '-extensions', list, '-out', `${name}.tcrt`);
	} else {
		openssl(...request, '-out', `${name}.csr`);
		openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${by}.tcrt`, '-CAkey', `${by}.tkey`, '-set_serial', '7', '-days', String(days),
			'-extfile', 'tsa.cnf', '-extensions', list, '-out', `${name}.tcrt`);
	}
}

const EKUS = ['soft', 'other', 'too', 'encrypts', 'named'];

let made = false;

export function makeAuthorities() {
	if (made)
		return;
	made = true;
	writeFileSync(`${work}/tsa.cnf`, CONFIG);
	writeFileSync(`${work}/tsa.serial`, '01\n');
	certificate('troot', 'root');
	certificate('ca', 'between', { by: 'troot' });
	certificate('stamper', 'plain', { by: 'ca' });
	certificate('rsa', 'plain', { by: 'troot', algorithm: ['RSA'] });
	certificate('weak', 'plain', { by: 'troot', algorithm: ['RSA', '-pkeyopt', 'rsa_keygen_bits:1024'] });
	certificate('another', 'root');
	for (const name of EKUS)
		certificate(name, name, { by: 'troot' });
}

const pem = (...names) => Buffer.concat(names.map((name) => openssl('x509', '-in', `${name}.tcrt`)));
const derOf = (name) => openssl('x509', '-in', `${name}.tcrt`, '-outform', 'DER');

/* A TimeStampReq that asks for a token over these bytes. */
function question(bytes, alg, nonce) {
	const oid = { sha256: '608648016503040201', sha512: '608648016503040203' }[alg];
	const tlv = (tag, ...parts) => Buffer.concat([Buffer.of(tag, Buffer.concat(parts).length), ...parts]);
	const imprint = tlv(0x30, tlv(0x30, tlv(6, Buffer.from(oid, 'hex')), Buffer.of(5, 0)), tlv(4, createHash(alg).update(bytes).digest()));
	const digits = nonce.replace(/^(?:00)+(?=[0-7])/, '');
	return tlv(0x30, Buffer.of(2, 1, 1), imprint, ...nonce === '' ? [] : [tlv(2, Buffer.from(digits, 'hex'))], Buffer.of(1, 1, 0xff));
}

export function tokenOver(bytes, { signer = 'stamper', chain = ['ca'], alg = 'sha256', nonce = NONCE, config = '' } = {}) {
	writeFileSync(`${work}/question`, question(bytes, alg, nonce));
	writeFileSync(`${work}/tsa2.cnf`, CONFIG + config);
	writeFileSync(`${work}/between`, pem(...chain));
	openssl('ts', '-reply', '-config', 'tsa2.cnf', '-queryfile', 'question', '-signer', `${signer}.tcrt`, '-inkey', `${signer}.tkey`,
		...chain.length > 0 ? ['-chain', 'between'] : [], '-token_out', '-out', 'token');
	return readFileSync(`${work}/token`);
}

/* A token that no TSA makes: what it says is another's, `edit`ed, and any certificate signs it. */
export function forgedOver(bytes, { signer = 'stamper', chain = ['ca'], edit = (x) => x, attribute = '-cades', type = '1.2.840.113549.1.9.16.1.4' }) {
	writeFileSync(`${work}/tst`, edit(readSigned(tokenOver(bytes)).content));
	writeFileSync(`${work}/between`, pem(...chain));
	return openssl('cms', '-sign', '-in', 'tst', '-signer', `${signer}.tcrt`, '-inkey', `${signer}.tkey`, '-binary', '-nodetach', '-nosmimecap',
		'-outform', 'DER', '-econtent_type', type, ...attribute === '' ? [] : [attribute], ...chain.length > 0 ? ['-certfile', 'between'] : []);
}

/* The TSTInfo with one text in place of another that is as long. */
const instead = (from, to) => (tst) => {
	const at = Buffer.from(tst).indexOf(from, 0, 'latin1');
	assert.ok(at > 0 && from.length === to.length);
	return Buffer.concat([tst.subarray(0, at), Buffer.from(to, 'latin1'), tst.subarray(at + from.length)]);
};

const timeOf = (token) => {
	try {
		return readTst(readSigned(token).content).time.ms;
	} catch {
		return 0;
	}
};

/* What a world's stamp is: how the token is made, and what is changed then. */
function stamping({ signer = 'stamper', chain = ['ca'], recorded = null, roots = ['troot'], alg = 'sha256', size = null, over = null, bend = (x) => x, make = tokenOver,
	note = (x) => x, change = () => ({}), kept = true, ...made }) {
	return (world) => {
		const count = size ?? world.records.length;
		const text = note(world.checkpoint(count));
		const token = bend(make(Buffer.from(over ?? text), { signer, chain, alg, ...made }));
		const certificates = pem(...recorded ?? [signer, ...chain, 'troot']);
		const body = { size: count, note: text, tsa: 'local', imprint_alg: alg, nonce_tsa: NONCE, token: b64(token), chain_sha256: b64(H(certificates)),
			gen_time: timeOf(token), policy_oid: '1.2.3.4.5' };
		return { body: { ...body, ...change(body) }, blobs: kept ? [certificates] : [], sizes: [count],
			trust: roots.map((name) => `tsa ${name} ${b64(H(derOf(name)))}\n`).join('') };
	};
}

const votes = [['approval', ['sato']], ['approval', ['suzuki']]];

async function both(stamp, more = {}) {
	const { text, trust } = await worldOf({ votes, stamp: stamping(stamp), ...more });
	writeFileSync(`${work}/stamped`, text);
	writeFileSync(`${work}/stamped.trust`, trust);
	const there = spawnSync('kanmon', ['audit', 'bundle', 'verify', `${work}/stamped`, '--trust', `${work}/stamped.trust`], { encoding: 'utf8' });
	const outcome = await verifyBundle(Buffer.from(text), await parseTrust(trust));
	const { verdict, why } = outcome.steps.find((one) => one.id === 'time');
	return { status: there.status, said: there.stdout + there.stderr, verdict, why, outcome: outcome.verdict };
}

function judged(says, stamp, status, verdict, why, more) {
	t(says, async () => {
		const got = await both(stamp, more);
		assert.deepEqual([got.status, got.verdict, got.why], [status, verdict, why], got.said);
	});
}

const flip = (at) => (token) => {
	const bent = Buffer.from(token);
	bent[at < 0 ? bent.length + at : at] ^= 1;
	return bent;
};

export function stamps() {
	makeAuthorities();
	judged('a time stamp over the head that covers the request', {}, 0, 'ok', 'time.ok');
	judged('by an RSA key, over SHA-512, with the name of its TSA', { signer: 'rsa', chain: [], alg: 'sha512', config: 'tsa_name = yes\n' }, 0, 'ok', 'time.ok');
	judged('whose certificate is named by SHA-1, in the older attribute', { config: 'ess_cert_id_alg = sha1\n' }, 0, 'ok', 'time.ok');
	judged('whose second has parts', { config: 'clock_precision_digits = 3\n' }, 0, 'ok', 'time.ok');
	judged('with its chain by name and number', { config: 'ess_cert_id_chain = no\nsigner_digest = sha512\n' }, 0, 'ok', 'time.ok');
	judged('it is over another note', { over: 'something else' }, 1, 'failed', 'time.imprint');
	judged('its nonce is another', { nonce: '11' }, 1, 'failed', 'time.nonce');
	judged('it has no nonce', { nonce: '' }, 1, 'failed', 'time.nonce');
	judged('the record says another time', { change: (body) => ({ gen_time: body.gen_time + 1000 }) }, 1, 'failed', 'time.said');
	judged('the record says another policy', { change: () => ({ policy_oid: '1.2.3.4.6' }) }, 1, 'failed', 'time.said');
	judged('the record says another size', { change: (body) => ({ size: body.size - 1 }) }, 1, 'failed', 'time.note');
	judged('the record’s nonce has no form', { change: () => ({ nonce_tsa: 'F1E2D3C4B5A69700' }) }, 1, 'failed', 'time.note');
	judged('its note is not signed by the log key', { note: (text) => text.replace(/(\S{20})\S(\S+)\n$/, '$1A$2\n') }, 1, 'failed', 'time.note');
	judged('its head comes before the result', { size: 5 }, 1, 'failed', 'time.cover');
	judged('its certificates are not in the bundle', { kept: false }, 1, 'failed', 'time.chain');
	judged('its root is none that is pinned', { roots: ['another'] }, 1, 'failed', 'time.root');
	judged('its signature is another', { bend: flip(-1) }, 1, 'failed', 'time.signature');
	const forge = (stamp) => ({ make: forgedOver, ...stamp });
	judged('a token that was put together by hand is one', forge({}), 0, 'ok', 'time.ok');
	for (const [name, what] of [['soft', 'is not critical'], ['other', 'is another'], ['too', 'is not the only one'], ['encrypts', 'is not its key’s usage']])
		judged(`a certificate whose purpose ${what}`, forge({ signer: name, chain: [] }), 1, 'failed', 'time.certificate');
	judged('a certificate of a CA', forge({ signer: 'ca', chain: [] }), 1, 'failed', 'time.certificate');
	judged('a certificate that has ended then', forge({ edit: instead('\x18\x0f20', '\x18\x0f21') }), 1, 'failed', 'time.certificate');
	judged('an attribute that names no certificate', forge({ attribute: '' }), 1, 'failed', 'time.certificate');
	judged('a token of another version', forge({ edit: instead('\x02\x01\x01\x06', '\x02\x01\x02\x06') }), 1, 'failed', 'time.imprint');
	judged('a content of another type', forge({ type: '1.2.840.113549.1.7.1' }), 1, 'unknown', 'unknown.stamp');
	judged('a record that it covers says a later time', {}, 3, 'unknown', 'time.order', { answered: Date.now() + 3600000 });
	/* The browser says less here, and never more. */
	judged('a chain in another order is for the tool', { recorded: ['ca', 'stamper', 'troot'] }, 0, 'unknown', 'unknown.stamp');
	judged('so is one with a critical extension that nobody knows', { signer: 'named', chain: [] }, 1, 'unknown', 'unknown.stamp');
	judged('and one by a weak key', { signer: 'weak', chain: [] }, 1, 'unknown', 'unknown.stamp');
	t('every byte of a token changed is seen', async () => {
		const { text } = await worldOf({ votes, stamp: stamping({}) });
		const length = Buffer.from(/"token":"([^"]*)"/.exec(text)[1], 'base64').length;
		for (let at = 0; at < length; at += long ? 1 : 97) {
			const got = await both({ bend: flip(at) });
			assert.ok(got.verdict !== 'ok' || got.status === 0, `byte ${at}: ${got.said}`);
			assert.ok(got.verdict !== 'failed' || got.status === 1, `byte ${at}: ${got.said}`);
		}
	});
}
