/* Bytes, tree, notes, types: the vectors of docs/ledger.md 10, and each table beside the page that it is of. */
import assert from 'node:assert/strict';
import { createECDH, createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { b64, b64url, unb64, unutf8, utf8 } from '../../../server/console/www/js/verify/bytes.js';
import { CLASSES, classOf, isDurable } from '../../../server/console/www/js/verify/calls.js';
import { displayCode } from '../../../server/console/www/js/verify/code.js';
import { verify } from '../../../server/console/www/js/verify/ed25519.js';
import { evidenceOf, parseSigner } from '../../../server/console/www/js/verify/evidence.js';
import { APPROVED, HASHED } from '../../../server/console/www/js/verify/mechanisms.js';
import { parseNote, readCheckpoint, parseVkey } from '../../../server/console/www/js/verify/note.js';
import { emit, parseRecord } from '../../../server/console/www/js/verify/record.js';
import { readSpki, verifyPkcs1 } from '../../../server/console/www/js/verify/spki.js';
import { schemeOf } from '../../../server/console/www/js/verify/norm.js';
import { grew, includes, leafHash } from '../../../server/console/www/js/verify/tree.js';
import { TYPES } from '../../../server/console/www/js/verify/types.js';
import { escaped, value } from '../../../server/console/www/js/verify/value.js';
import { test as t } from '../browser/tap.mjs';

const top = new URL('../../../', import.meta.url);
const read = (name) => readFileSync(new URL(name, top), 'utf8');
const page = read('docs/ledger.md');
const blocks = page.slice(page.indexOf('## 10. Test vectors')).split('```').filter((_, n) => n % 2 === 1).map((block) => block.slice(1));
const throws = (run) => assert.rejects(async () => run(), { name: 'Bad' });

export async function vectors() {
	t('base64 has one form', async () => {
		for (const text of ['AA=A', 'AB==', 'AAB=', 'A', 'AA', 'A===', '====', '=', 'AA==AAAA', '\u00ffAAA', 'AA AA', 'AA-_'])
			await throws(() => unb64(text));
	});
	t('megabytes of base64 are read', () => assert.equal(unb64('A'.repeat(16 << 20)).length, 12 << 20));
	t('base64url has no padding', () => assert.equal(b64url(Uint8Array.of(0xfb, 0xff)), '-_8'));
	t('UTF-8 that is overlong, a surrogate, or cut is none', async () => {
		for (const bytes of [[0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe3, 0x81], [0xff]])
			await throws(() => unutf8(Uint8Array.from(bytes)));
	});
	const [first, sixth, checkpoint, approval] = blocks;
	const path = sixth.match(/path {4}= (.*)/)[1].split(/ +/).map((hash) => unb64(hash, 32));
	const rootOf = unb64(sixth.match(/root\(6\) = (\S+)/)[1], 32);
	const line = utf8(sixth.split('\n')[0]);
	t('the leaf of record 0', async () => assert.equal(b64(await leafHash(utf8(first.split('\n')[0]))), first.match(/= (\S+)\n$/)[1]));
	t('record 5 is in the tree of 6', async () => assert.ok(await includes(await leafHash(line), 5, { size: 6, root: rootOf }, path)));
	t('and nowhere else in it', async () => {
		for (const [i, size] of [[4, 6], [5, 7], [6, 6], [5, 5]])
			assert.ok(!await includes(await leafHash(line), i, { size, root: rootOf }, path));
		assert.ok(!await includes(await leafHash(line), 5, { size: 6, root: rootOf }, path.slice(1)));
	});
	const origin = checkpoint.split('\n')[0];
	const key = await parseVkey(JSON.parse(first.split('\n')[0]).body.vkey, 1);
	t('the checkpoint verifies', async () => assert.equal((await readCheckpoint(checkpoint, origin, key)).size, 6));
	t('and no other one does', () => throws(() => readCheckpoint(checkpoint.replace('\n6\n', '\n7\n'), origin, key)));
	t('nor one with a line that is none', () => throws(() => readCheckpoint(`${checkpoint}x\n`, origin, key)));
	await evidence(approval);
	tables();
	webauthn();
	ed25519();
	texts(approval);
}

const seedKey = (words) => createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'),
	createHash('sha256').update(words).digest()]), format: 'der', type: 'pkcs8' });
const ed25519Of = (words) => createPublicKey(seedKey(words)).export({ format: 'der', type: 'spki' }).subarray(-32);

function p256(scalar) {
	const ecdh = createECDH('prime256v1');
	ecdh.setPrivateKey(Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex'));
	return Buffer.concat([Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'), ecdh.getPublicKey()]);
}

function vkeyOf(person, type, pub) {
	const name = `cust.example/${person}`;
	const typed = Buffer.concat([type === '' ? Buffer.of(1) : Buffer.from(`\xff${type}\0`, 'latin1'), pub]);
	const id = createHash('sha256').update(`${name}\n`).update(typed).digest('hex').slice(0, 8);
	return `${name}+${id}+${typed.toString('base64')}`;
}

/* Three persons of the vector: a key file, a card, a security key. Their public keys are those of scalars 7 and 9. */
async function evidence(approval) {
	const people = await Promise.all([['alice', '', ed25519Of('alice')], ['carol', 'kanmon/ecdsa-p256-sha256/v1', p256(7)],
		['bob', 'kanmon/webauthn-es256/v1', p256(9)]].map(async ([name, type, pub]) => ({ name, person: name, key: await parseSigner(vkeyOf(name, type, pub)) })));
	const places = [{ name: 'web', origin: 'https://approve.example', rpId: 'approve.example', independent: false }];
	const names = async (note, where = places) => (await evidenceOf(parseNote(note), people, where)).map((one) => one.name);
	t('three types of evidence verify', async () => assert.deepEqual(await names(approval), ['alice', 'carol', 'bob']));
	t('over another text none does', () => throws(() => names(approval.replace('decision approve', 'decision reject'))));
	const place = (changed) => [{ ...places[0], ...changed }];
	t('a security key at another origin does not count', () => throws(() => names(approval, place({ origin: 'https://evil.example' }))));
	t('nor for another RP id', () => throws(() => names(approval, place({ rpId: 'example' }))));
	t('nor where the policy names no place', () => throws(() => names(approval, [])));
	t('each byte of each signature matters', async () => {
		const lines = approval.split('\n');
		for (let n = lines.length - 4; n < lines.length - 1; n++) {
			const [dash, name, text] = lines[n].split(' ');
			const bytes = unb64(text);
			for (let at = 4; at < bytes.length; at += 7) {
				const bent = Uint8Array.from(bytes);
				bent[at] ^= 1 << (at % 8);
				await throws(() => names([...lines.slice(0, n), `${dash} ${name} ${b64(bent)}`, ...lines.slice(n + 1)].join('\n')));
			}
		}
	});
}

/*
 * Assertions that others made (webauthn.json): their signatures verify, as RSA does that no line of a policy can name; but none
 * of them is an approval, for the person was not verified, and the text is another.
 */
function webauthn() {
	const { vectors: list } = JSON.parse(readFileSync(new URL('webauthn.json', import.meta.url), 'utf8'));
	const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
	const types = { '-7': 'kanmon/webauthn-es256/v1', '-8': 'kanmon/webauthn-eddsa/v1', '-257': 'kanmon/webauthn-rs256/v1' };
	const jwkOf = ({ x, y, n, e }) => Object.fromEntries(Object.entries({ x, y, n, e }).filter(([, hex]) => hex !== undefined)
		.map(([name, hex]) => [name, Buffer.from(hex, 'hex').toString('base64url')]));
	const kinds = { '-7': { kty: 'EC', crv: 'P-256' }, '-8': { kty: 'OKP', crv: 'Ed25519' }, '-257': { kty: 'RSA' } };
	for (const { name, cose, place, publicKey, authenticatorData, clientDataJSON, signature } of list) {
		const [data, client, inner] = [authenticatorData, clientDataJSON, signature].map(bytes);
		const spki = createPublicKey({ key: { ...kinds[cose], ...jwkOf(publicKey) }, format: 'jwk' }).export({ format: 'der', type: 'spki' });
		const message = async (d) => Buffer.concat([d, createHash('sha256').update(client).digest()]);
		t(`W3C WebAuthn Level 3, ${name}: the signature verifies, and over nothing else`, async () => {
			const bent = Uint8Array.from(data);
			bent[36] ^= 1;
			if (cose === -257) {
				const check = async (d) => verifyPkcs1(spki, readSpki(spki), 'SHA-256', await message(d), inner);
				assert.deepEqual([await check(data), await check(bent)], [true, false]);
				return;
			}
			const signer = await parseSigner(vkeyOf('w3c', types[cose], spki));
			const check = async (d) => signer.type.check(signer, await message(d), inner);
			assert.deepEqual([await check(data), await check(bent)], [true, false]);
		});
		t(`W3C WebAuthn Level 3, ${name}: it approves nothing`, async () => {
			const vkey = vkeyOf('w3c', types[cose], spki);
			if (cose === -257) {
				await assert.rejects(parseSigner(vkey), { why: 'form.vkey' });
				return;
			}
			const key = await parseSigner(vkey);
			const assertion = Buffer.concat([data, client, inner].map((part) => Buffer.concat([Buffer.of(part.length >> 8, part.length & 255), part])));
			const note = `text\n\n\u2014 ${key.name} ${Buffer.concat([key.id, assertion]).toString('base64')}\n`;
			await assert.rejects(evidenceOf(parseNote(note), [{ name: 'w3c', person: 'w3c', key }], [{ ...place, independent: false }]), { why: 'evidence.unverified' });
		});
	}
}

function tables() {
	const rows = (text) => text.split('\n').filter((line) => line.startsWith('    ')).map((line) => line.slice(4)).join('\n')
		.replace(/\n +/g, ' ').split('\n').map((line) => line.trim().replace(/ +/g, ' ')).filter((line) => line !== '');
	t('the types of records are those of docs/ledger.md', () => assert.deepEqual(TYPES.trim().split('\n').toSorted(),
		rows(page.split('## 4. Types')[1].split('An unknown type')[0]).toSorted()));
	const approved = read('docs/policy.md').split('### Approved mechanisms')[1].split('By the hash')[0];
	t('the approved mechanisms are those of docs/policy.md', () => assert.deepEqual([...APPROVED].toSorted(),
		rows(approved).join(' ').split(' ').map((name) => `CKM_${name}`).toSorted()));
	t('and those by the hash', () => assert.deepEqual([...HASHED], ['CKM_RSA_PKCS', 'CKM_RSA_PKCS_PSS', 'CKM_ECDSA']));
	const calls = [...read('include/kanmon/calls.def').matchAll(/^KMN_CALL\((\w+),\s*\w+,\s*(\w+)/gm)].filter((m) => m[2] !== 'LOCAL');
	t('the classes of calls are those of the gateway', () => assert.deepEqual(
		Object.entries(CLASSES).flatMap(([name, list]) => list.split(/\s+/).map((call) => `${call} ${name}`)).toSorted(),
		calls.map((m) => `${m[1]} ${m[2].toLowerCase().replace('_', '-')}`).toSorted()));
	t('and those that need a record first', () => {
		const rows = read('include/kanmon/calls.def').matchAll(/^KMN_CALL\((\w+),\s*\w+,\s*\w+,\s*(\w+)/gm);
		for (const [, name, durability] of rows)
			assert.equal(isDurable(classOf(name)), durability === 'A', name);
	});
	t('each approved signature has its scheme', () => {
		for (const name of APPROVED)
			assert.equal(schemeOf(name) !== null, /^CKM_(SHA[0-9_]+_RSA_PKCS(_PSS)?|ECDSA_SHA\w+|EDDSA)$/.test(name), name);
	});
}

/* docs/ledger.md 1: refused before any mathematics. */
function ed25519() {
	const key = seedKey('kanmon test vector: log key');
	const pub = unb64('Adotl8f8wfRKzxrWuO55NaCNpmd8xKugfDZUWsE0rpQ7').subarray(1);
	const text = utf8('text');
	const good = new Uint8Array(sign(null, text, key));
	const order = 2n ** 252n + 27742317777372353535851937790883648493n;
	t('a signature verifies', async () => assert.ok(await verify(pub, text, good)));
	t('the identity is no key that signs everything', async () => {
		const none = Uint8Array.from({ length: 32 }, (_, n) => (n === 0 ? 1 : 0));
		const zero = new Uint8Array(64);
		zero[0] = 1;
		assert.ok(!await verify(none, text, zero));
	});
	t('S has one form', async () => {
		const bent = Uint8Array.from(good);
		let s = bent.subarray(32).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n) + order;
		for (let n = 32; n < 64; n++, s >>= 8n)
			bent[n] = Number(s & 255n);
		assert.ok(!await verify(pub, text, bent));
	});
}

function texts(approval) {
	t('a record that is not its own canonical form is none', async () => {
		const line = page.match(/^\{"body".*"genesis","v":1\}$/m)[0];
		for (const bent of [line.replace(':0,', ':00,'), line.replace(',"v":1', ', "v":1'), line.replace('"v":1', '"v":1.0'),
			line.replace('"i":0', '"i":0,"i":0'), line.replace('K1', 'K\\u0031'), `${line} `])
			await throws(() => parseRecord(utf8(bent)));
	});
	t('objects are nested no deeper than six', () => throws(() => emit({ a: [[[[[[1]]]]]] })));
	t('a value hides nothing', () => assert.equal(escaped('a\u202eb\\c\u0301 '), 'a\\u{202e}b\\\\c\\u{301}\\u{20}'));
	t('and is cut with its hash', async () => assert.match(await value('x'.repeat(2000)), /^x{969}\.\.\. sha256 .{44}$/));
	t('the display code is the first 120 bits', async () => {
		const text = approval.slice(0, approval.indexOf('\n\n') + 1);
		const bits = [...unb64(page.match(/SHA-256\(statement\) = (\S+)/)[1])].map((byte) => byte.toString(2).padStart(8, '0')).join('');
		const code = bits.slice(0, 120).match(/.{5}/g).map((five) => '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[parseInt(five, 2)]).join('');
		assert.equal((await displayCode(text)).replaceAll('-', ''), code);
		assert.match(await displayCode(text), /^(?:.{4}-){5}.{4}$/);
	});
}
