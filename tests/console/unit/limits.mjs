/*
 * What the browser does not know, and the tool does: exactly this list. Each case is a bundle that `kanmon audit bundle verify`
 * finds right; the browser says `incomplete`, and why. A case for each reason that the engine has is asked for.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parsePolicy } from '../../../server/console/www/js/verify/policy.js';
import { makeStatement, materialOf } from '../../../server/console/www/js/verify/statement.js';
import { parseTrust } from '../../../server/console/www/js/verify/trust.js';
import { verifyBundle } from '../../../server/console/www/js/verify/verdict.js';
import { test as t } from '../browser/tap.mjs';
import { H } from './forge.mjs';
import { ALL, answerTo, b64, bundleOf, callOf, DATA, HSM, KEY, noteOf, ORIGIN, POLICY, putVotes, SPKI, spkiOf, T, trustOf, World, worldOf } from './world.mjs';

const { KMN_SOURCE: source, KMN_WORK: work } = process.env;

/* Reasons of which both say that something is missing, or that have their case elsewhere. */
const ELSEWHERE = new Map([
	['unknown.bound', 'the tool takes no policy with a bound that it does not know'],
	['unknown.stamp', 'stamps.mjs'],
	['time.order', 'stamps.mjs: incomplete there, too'],
]);

/* Why the browser may say `incomplete` of what the tool finds right. */
export const LESS = new Set(['unknown.action', 'unknown.algorithm', 'unknown.content', 'unknown.digest', 'unknown.ed25519', 'unknown.hash',
	'unknown.pss', 'unknown.rule', 'unknown.stamp', 'statement.input']);

const SHOWN = `rule shown
  client ca
  calls C_SignMessage
  content csr
  need keepers
`;
const policyOf = (more) => POLICY(0).replace('rule bulk', () => `${SHOWN}rule bulk`) + more;
const named = (data) => ({ sha256: b64(H(data)), len: data.length });

/*
 * A request that two persons approved. `call`: members of its intent; `data`: kept as a blob, null: not; `attached`: data that
 * came later; `recorded`: lines of the statement that are not made here; `bytes`: the HSM's signature; `body`: of a record of a screen.
 */
async function caseOf({ call = {}, data = DATA, spki = SPKI, bytes, rule = 'guarded', attached = null, recorded = '', more = '', screen = {}, keep = true }) {
	const world = new World();
	const text = policyOf(more);
	const policy = await parsePolicy(text);
	world.put('genesis', { origin: ORIGIN, suite: 'K1', vkey: ALL.log.vkey, policy: noteOf(text, ['sato']), hsm: {}, limits: {} });
	const intent = { ...callOf(T + 3600000), key: { ...KEY, spki_sha256: b64(H(spki)) }, ...call };
	const body = JSON.parse(JSON.stringify(intent));
	const request = world.put('intent', body);
	const later = attached === null ? null : world.put('attachment', { request, in: named(attached) });
	const asked = attached === null ? body : { ...body, in: named(attached) };
	const head = { size: world.records.length, root: world.checkpoint().split('\n')[2] };
	const kept = [attached ?? data].filter((one) => one !== null);
	const material = await materialOf(asked, new Map(kept.map((one) => [b64(H(one)), one])));
	const statement = await makeStatement({ i: 1, t: T + 1000, leaf: world.leaves[1], body: asked, attachment: later && { i: 2, leaf: world.leaves[2] } }, policy,
		policy.rules.find((one) => one.name === rule), head, material, recorded);
	world.put('statement', { request, head, sha256: b64(H(statement)), text: statement });
	if (screen !== null)
		world.put('action', { ui_sess: 'x', actor: { name: 'sato' }, what: 'show', subject: request, shown_sha256: b64(H(statement)), ...screen });
	const refs = putVotes(world, request, statement, [['approval', ['sato']], ['approval', ['suzuki']]]);
	const decision = world.put('decision', { request, rule, policy: { version: 1, sha256: policy.sha256 }, ...refs, not_after: body.expires, verdict: 'allow', use: 1 });
	world.put('result', { ...answerTo(body, request, decision), out: { b64: b64(bytes ?? sign('sha256', DATA, { key: HSM, dsaEncoding: 'ieee-p1363' })) } });
	return { text: bundleOf(world, 1, [head.size], [...kept, ...keep ? [spki] : []]), trust: trustOf(policy) };
}

const pair = (...words) => generateKeyPairSync(...words).privateKey;
const flat = (key) => ({ key, dsaEncoding: 'ieee-p1363' });
const normOf = (scheme, hash, digest) => ({ norm: { scheme, hash, digest: b64(digest) } });
const digestOf = (hash, data) => execFileSync('openssl', ['dgst', `-${hash}`, '-binary'], { input: data });

function signPss(key, mask) {
	writeFileSync(`${work}/pss.key`, key.export({ format: 'pem', type: 'pkcs8' }));
	return execFileSync('openssl', ['pkeyutl', '-sign', '-inkey', `${work}/pss.key`, '-pkeyopt', 'rsa_padding_mode:pss', '-pkeyopt', 'rsa_pss_saltlen:32',
		'-pkeyopt', `rsa_mgf1_md:${mask}`, '-pkeyopt', 'digest:sha256'], { input: H(DATA) });
}

const pssCall = (mask) => ({ mech: { name: 'CKM_SHA256_RSA_PKCS_PSS', params: { hash: 'CKM_SHA256', mgf: `CKG_MGF1_${mask}`, salt_len: 32 } },
	...normOf('rsa-pss', 'sha256', H(DATA)) });

/* CertificationRequestInfo of nobody; `attributes`: DER inside of [0]. */
function requestInfo(attributes) {
	const tlv = (tag, ...parts) => {
		const content = Buffer.concat(parts);
		return Buffer.concat([Buffer.of(tag), content.length < 128 ? Buffer.of(content.length) : Buffer.of(0x81, content.length), content]);
	};
	return tlv(0x30, Buffer.of(2, 1, 0), tlv(0x30), SPKI, tlv(0xa0, ...attributes.map((n) => tlv(0x30, Buffer.of(6, 2, 0x2a, n), tlv(0x31, Buffer.of(5, 0))))));
}

const ELEMENT = Buffer.from('3003020105', 'hex');
const over = (data) => ({ call: { op: 'C_SignMessage', in: named(data), ...normOf('ecdsa', 'sha256', H(data)) }, data, rule: 'shown',
	bytes: sign('sha256', data, flat(HSM)) });
const TWO = requestInfo([3, 4]);
const TWO_LINES = ['version 1', 'subject none', 'key-algorithm EC P-256', `key-spki-sha256 ${b64(H(SPKI))}`, 'attribute 1.2.3 hex 0500', 'attribute 1.2.4 hex 0500']
	.map((line) => `input ${line}\n`).join('');
const BRINGS = 'rule brings\n  client ca\n  calls key-management\n  need keepers\n';
const RSA = pair('rsa', { modulusLength: 2048 });
const KOBLITZ = pair('ec', { namedCurve: 'secp256k1' });
const ED448 = pair('ed448');
const ED25519 = pair('ed25519');
const bare = { in: named(H(DATA)), mech: { name: 'CKM_ECDSA' }, ...normOf('ecdsa', '', H(DATA)) };

/* [what, how it is made, exit code of the tool, [step, why] here] */
const CASES = [
	['ECDSA over a digest without its data', { call: bare, data: null }, 0, ['hsm', 'unknown.digest']],
	['RSA-PSS over a digest without its data', { call: pssCall('SHA256'), data: null, spki: spkiOf(RSA), bytes: () => signPss(RSA, 'sha256') }, 0, ['hsm', 'unknown.digest']],
	['EdDSA whose data is not kept', { call: { mech: { name: 'CKM_EDDSA' }, ...normOf('eddsa', 'sha256', H(DATA)) }, data: null, spki: spkiOf(ED25519),
		bytes: sign(null, DATA, ED25519) }, 0, ['hsm', 'unknown.digest']],
	['RSA-PSS with another hash for its mask', { call: pssCall('SHA1'), spki: spkiOf(RSA), bytes: () => signPss(RSA, 'sha1') }, 0, ['hsm', 'unknown.pss']],
	['RSA-PSS whose parameters are not recorded', { call: { ...pssCall('SHA256'), mech: { name: 'CKM_SHA256_RSA_PKCS_PSS' } }, spki: spkiOf(RSA),
		bytes: () => signPss(RSA, 'sha256') }, 0, ['hsm', 'unknown.pss']],
	['a hash that WebCrypto lacks', { call: { mech: { name: 'CKM_ECDSA_SHA224' }, ...normOf('ecdsa', 'sha224', digestOf('sha224', DATA)) },
		bytes: sign('sha224', DATA, flat(HSM)), recorded: 'input-kind data\n' }, 0, ['hsm', 'unknown.hash']],
	['a curve that WebCrypto lacks', { spki: spkiOf(KOBLITZ), bytes: sign('sha256', DATA, flat(KOBLITZ)) }, 0, ['hsm', 'unknown.algorithm']],
	['an algorithm that WebCrypto lacks', { call: { mech: { name: 'CKM_EDDSA' }, ...normOf('eddsa', 'sha256', H(DATA)) }, spki: spkiOf(ED448),
		bytes: sign(null, DATA, ED448) }, 0, ['hsm', 'unknown.algorithm']],
	['a content that is rare, where nobody asks for its kind', { ...over(ELEMENT), call: { ...over(ELEMENT).call, op: 'C_Sign' }, rule: 'guarded',
		recorded: 'input-kind data\n' }, 0, ['statement', 'statement.input']],
	['a screen with a note', { screen: { auth: { note: 'x' } } }, 0, ['screen', 'unknown.action']],
	['a content that is rare, where a rule asks for its kind', { ...over(TWO), recorded: `input-kind pkcs10-certificationrequestinfo\n${TWO_LINES}` }, 0,
		['call', 'unknown.content']],
	['an object that is brought in', { call: { op: 'C_CreateObject', template: { CKA_CLASS: 0, CKA_LABEL: 'note' }, key: { class: 'data', label: 'note', token: 'root' },
		mech: { name: '' }, in: undefined, norm: undefined }, rule: 'brings', more: BRINGS }, 0, ['call', 'unknown.rule']],
	['the key is not in the bundle', { keep: false }, 3, ['hsm', 'unknown.key']],
];

async function both({ text, trust }) {
	writeFileSync(`${work}/limit`, text);
	writeFileSync(`${work}/limit.trust`, trust);
	const there = spawnSync('kanmon', ['audit', 'bundle', 'verify', `${work}/limit`, '--trust', `${work}/limit.trust`], { encoding: 'utf8' });
	const outcome = await verifyBundle(Buffer.from(text), await parseTrust(trust));
	return { status: there.status, said: there.stdout + there.stderr + JSON.stringify(outcome.steps.filter((one) => !['ok', 'none'].includes(one.verdict))), outcome };
}

const whyOf = (outcome, id) => outcome.steps.find((one) => one.id === id).why;

export function limits() {
	const seen = new Set();
	const listed = (says, made, status, [id, why]) => t(`not known here: ${says}`, async () => {
		seen.add(why);
		const { status: there, said, outcome } = await both(await caseOf({ ...made, bytes: typeof made.bytes === 'function' ? made.bytes() : made.bytes }));
		assert.deepEqual([there, outcome.verdict, whyOf(outcome, id)], [status, 'incomplete', why], said);
	});
	const verified = (says, made) => t(says, async () => {
		const { status, said, outcome } = await both(await caseOf(made));
		assert.deepEqual([status, outcome.verdict], [0, 'verified'], said);
	});

	for (const one of CASES)
		listed(...one);
	verified('a content that was attached later is what the signature is verified over', { call: { ...bare, op: 'C_SignMessage', ...normOf('ecdsa', '', H(requestInfo([]))) },
		data: null, attached: requestInfo([]), rule: 'shown', bytes: sign('sha256', requestInfo([]), flat(HSM)) });
	verified('RSA PKCS#1 over a digest without its data', { call: { mech: { name: 'CKM_RSA_PKCS' }, in: named(H(DATA)), ...normOf('rsa-pkcs1', 'sha256', H(DATA)) }, data: null,
		spki: spkiOf(RSA), bytes: sign('sha256', DATA, RSA) });
	verified('a key that was made inside, where its rule asks that', { call: { key: { ...KEY, spki_sha256: b64(H(SPKI)), local: true, never_extractable: true } }, more: '  origin local\n' });
	t('one that is not said to be was refused, here as there', async () => {
		const { status, outcome } = await both(await caseOf({ more: '  origin local\n' }));
		assert.deepEqual([status, outcome.verdict], [1, 'failed']);
	});
	t('a use whose window is not in the bundle is not known to both', async () => {
		const { text, trust } = await worldOf({ votes: [['approval', ['sato']], ['approval', ['suzuki']]], use: 2, late: 5000 });
		const parts = text.split(/^(?=record |consistency |blob |end)/m);
		const { status, said, outcome } = await both({ text: parts.filter((part) => !/^record [1-5] /.test(part)).join(''), trust });
		assert.deepEqual([status, outcome.verdict, whyOf(outcome, 'decision')], [3, 'incomplete', 'unknown.window'], said);
		seen.add('unknown.window');
	});
	t('not known here: a browser without Ed25519', async () => {
		const made = await caseOf({});
		const { importKey } = crypto.subtle;
		crypto.subtle.importKey = (format, key, algorithm, ...rest) => (algorithm.name === 'Ed25519'
			? Promise.reject(new DOMException('x', 'NotSupportedError')) : importKey.call(crypto.subtle, format, key, algorithm, ...rest));
		try {
			const { status, outcome } = await both(made);
			assert.deepEqual([status, outcome.verdict === 'verified'], [0, false]);
			assert.equal(whyOf(outcome, 'checkpoint'), 'unknown.ed25519');
		} finally {
			delete crypto.subtle.importKey;
		}
		seen.add('unknown.ed25519');
	});
	t('there is a case for each reason that the engine has, and the list is theirs', () => {
		const folder = `${source}/server/console/www/js/verify`;
		const said = readdirSync(folder).filter((name) => name.endsWith('.js')).flatMap((name) =>
			[...readFileSync(`${folder}/${name}`, 'utf8').matchAll(/Unknown\('([a-z0-9.]+)'/g)].map((match) => match[1]));
		assert.deepEqual([...new Set(said)].filter((why) => !seen.has(why) && !ELSEWHERE.has(why)), []);
		for (const why of LESS)
			assert.ok(said.includes(why), why);
	});
}
