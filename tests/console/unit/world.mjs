/*
 * A ledger of one request, made here from nothing with keys of its own: who votes how, and what follows. Each case is held
 * beside `kanmon audit bundle verify`.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { b64url } from '../../../server/console/www/js/verify/bytes.js';
import { parsePolicy } from '../../../server/console/www/js/verify/policy.js';
import { makeStatement, materialOf } from '../../../server/console/www/js/verify/statement.js';
import { parseTrust } from '../../../server/console/www/js/verify/trust.js';
import { verifyBundle } from '../../../server/console/www/js/verify/verdict.js';
import { test as t } from '../browser/tap.mjs';
import { emit, H, Ledger } from './forge.mjs';

const { KMN_WORK: work } = process.env;
export const b64 = (bytes) => Buffer.from(bytes).toString('base64');
export const T = 1790000000000;
export const ORIGIN = 'kanmon.example/browser/2026';

const seedKey = (words) => createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'),
	createHash('sha256').update(words).digest()]), format: 'der', type: 'pkcs8' });
export const spkiOf = (key) => createPublicKey(key).export({ format: 'der', type: 'spki' });

function signer(name, type, key) {
	const typed = type === '' ? Buffer.concat([Buffer.of(1), spkiOf(key).subarray(-32)])
		: Buffer.concat([Buffer.from(`\xff${type}\0`, 'latin1'), spkiOf(key)]);
	const id = createHash('sha256').update(`${name}\n`).update(typed).digest().subarray(0, 4);
	return { name, id, key, vkey: `${name}+${id.toString('hex')}+${b64(typed)}` };
}

const ec = (namedCurve) => generateKeyPairSync('ec', { namedCurve }).privateKey;
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
export const ALL = {
	log: signer(ORIGIN, '', seedKey('log')),
	sato: signer('sato', '', seedKey('sato')),
	sato2: signer('sato-2', 'kanmon/ecdsa-p384-sha384/v1', ec('P-384')),
	suzuki: signer('suzuki', 'kanmon/webauthn-es256/v1', ec('P-256')),
	tanaka: signer('tanaka', 'kanmon/rsa-pss-sha256/v1', rsa),
	yamada: signer('yamada', 'kanmon/webauthn-eddsa/v1', seedKey('yamada')),
	mori: signer('mori', 'kanmon/ecdsa-p256-sha256/v1', ec('P-256')),
	stranger: signer('stranger', '', seedKey('stranger')),
};

const line = ({ name, id }, signature) => `\u2014 ${name} ${b64(Buffer.concat([id, signature]))}\n`;
const withLength = (bytes) => Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes]);

/* An assertion of a security key over a text: flags, origin and what follows may be others. */
function assertion(text, { flags = 0x05, origin = 'https://console.example', rp = 'console.example', more = '}' } = {}, by = (data) => sign('sha256', data, ALL.suzuki.key)) {
	const challenge = b64url(H('kanmon/webauthn/v1\n', text));
	const data = Buffer.concat([H(rp), Buffer.of(flags, 0, 0, 0, 1)]);
	const client = Buffer.from(`{"type":"webauthn.get","challenge":"${challenge}","origin":"${origin}","crossOrigin":false${more}`);
	return Buffer.concat([data, client, by(Buffer.concat([data, H(client)]))].map(withLength));
}

const SIGNS = {
	sato: (text) => sign(null, Buffer.from(text), ALL.sato.key),
	log: (text) => sign(null, Buffer.from(text), ALL.log.key),
	stranger: (text) => sign(null, Buffer.from(text), ALL.stranger.key),
	sato2: (text) => sign('sha384', Buffer.from(text), { key: ALL.sato2.key, dsaEncoding: 'ieee-p1363' }),
	mori: (text) => sign('sha256', Buffer.from(text), { key: ALL.mori.key, dsaEncoding: 'ieee-p1363' }),
	tanaka: (text) => sign('sha256', Buffer.from(text), { key: rsa, padding: 6, saltLength: 32 }),
	suzuki: assertion,
	yamada: (text, how) => assertion(text, how, (data) => sign(null, data, ALL.yamada.key)),
};

export const noteOf = (text, who, how) => `${text}\n${who.map((name) => line(ALL[name], SIGNS[name](text, how))).join('')}`;
const client = b64(H('client'));

export const POLICY = (independent) => `kanmon/policy/v1
origin ${ORIGIN}
version 1
previous none
not-before 2026-01-01T00:00:00Z
expires 2027-01-01T00:00:00Z
custodian sato person:1 ${ALL.sato.vkey}
custodian sato person:1 ${ALL.sato2.vkey}
custodian suzuki person:2 ${ALL.suzuki.vkey}
custodian tanaka person:3 ${ALL.tanaka.vkey}
custodian mori person:4 ${ALL.mori.vkey}
custodian yamada person:5 ${ALL.yamada.vkey}
webauthn web origin https://console.example rp-id console.example
client ca spki:${client} tokens root operators mori
token root
group keepers 2 sato suzuki tanaka mori yamada
role policy 1 sato
role veto 1 tanaka
rule bulk
  client ca
  calls C_SignFinal
  mechanisms CKM_ECDSA_SHA256
  class B
  need none
rule guarded
  client ca
  calls key-use
  need keepers
  independent ${independent}
`;

export class World extends Ledger {
	constructor() {
		super(`${process.env.KMN_SOURCE}/docs/examples/ledger`, createHash('sha256').update('log').digest());
		Object.assign(this, { records: [], lines: [], leaves: [], origin: ORIGIN, vkey: ALL.log.vkey });
	}

	put(type, body, t = T + 1000 * this.records.length) {
		const i = this.records.length;
		const record = { body, i, m: 1000 + i, nonce: b64(H(`nonce ${i}`).subarray(0, 16)), prev: b64(this.leaves[i - 1] ?? Buffer.alloc(32)), t, type, v: 1 };
		this.records.push(record);
		this.lines.push(emit(record));
		this.leaves.push(H(Buffer.of(0), this.lines[i]));
		return { i, leaf: b64(this.leaves[i]) };
	}
}

export const HSM = ec('P-256');

export const DATA = Buffer.from('to be signed');
export const SPKI = spkiOf(HSM);
export const KEY = { class: 'private-key', label: 'k', token: 'root', spki_sha256: b64(H(SPKI)) };

export const callOf = (expires) => ({ chan: 0, sess: 1, seq: 1, op: 'C_Sign', mech: { name: 'CKM_ECDSA_SHA256' }, key: KEY,
	in: { sha256: b64(H(DATA)), len: DATA.length }, norm: { scheme: 'ecdsa', hash: 'sha256', digest: b64(H(DATA)) }, req_sha256: b64(H('q')),
	nonce_req: b64(H('n')), requester: { name: 'ca', spki_sha256: client }, expires });

function openingOf(call) {
	const { in: data, norm, ...rest } = call;
	return { ...rest, op: 'window', mech: {}, window: { rule: 'guarded', seconds: 86400, uses: 3 } };
}

export const answerTo = (body, request, decision) => ({ chan: 0, sess: 1, seq: 1, req_sha256: body.req_sha256, request, decision, rv: 0, rv_name: 'CKR_OK',
	out: { b64: b64(sign('sha256', DATA, { key: HSM, dsaEncoding: 'ieee-p1363' })) }, hsm: {}, dur_us: 1, resp_sha256: b64(H('r')) });

/* mori's instruction for the call, as record 1: `change` of its text, `by` whom it is signed, `actor` whom it names. */
function putInstruction(world, { change = (text) => text, by = 'mori', actor = 'mori', late = 0 }) {
	const text = change(`kanmon/instruction/v1\norigin ${ORIGIN}\nclient ca\nwhat sign\ntoken root\nkey-label k\nmechanism CKM_ECDSA_SHA256\n` +
		`file-len ${DATA.length}\nfile-sha256 ${b64(H(DATA))}\npurpose a test\nnonce ${b64(H('n1'))}\ntime ${new Date(T).toISOString().replace('.000Z', 'Z')}\n`);
	world.put('action', { ui_sess: 0, actor: { name: actor }, what: 'instruct', auth: { note: noteOf(text, [by]) } }, T + 1000 + late);
}

async function putStatement(world, policy, request, body) {
	const head = { size: request.i + 1, root: world.checkpoint().split('\n')[2] };
	const material = await materialOf(body, new Map([[b64(H(DATA)), DATA]]));
	const text = await makeStatement({ i: request.i, t: world.records[request.i].t, leaf: world.leaves[request.i], body, attachment: null }, policy, policy.rules.find((rule) => rule.name === 'guarded'), head, material, '');
	world.put('statement', { request, head, sha256: b64(H(text)), text });
	return text;
}

export function putVotes(world, request, text, votes) {
	const refs = { approvals: [], rejections: [], vetoes: [] };
	const lists = { approval: 'approvals', rejection: 'rejections', veto: 'vetoes' };
	for (const [kind, who, how] of votes) {
		const turned = kind === 'approval' ? text : text.replace('decision approve', kind === 'veto' ? 'decision veto' : 'decision reject')
			.replace('\nnonce ', '\nreason no\nnonce ');
		refs[lists[kind]].push(world.put(kind, { request, note: noteOf(turned, who, how), check: 'ok' }));
	}
	return refs;
}

/* A use of the window that was opened, `use` being its number; `late`: ms after it. */
function putUse(world, request, votes, decision, { use, late }) {
	const opening = decision({ verdict: 'open', use: 0 });
	const body = callOf(opening.t + late + 3600000);
	const call = world.put('intent', body, opening.t + late);
	const allowed = decision({ request: call, verdict: 'allow', use, window: request, not_after: body.expires }, late + 1000);
	world.put('result', answerTo(body, call, allowed.ref), opening.t + late + 2000);
	return call.i;
}

/*
 * votes: [[kind, signers, how they sign]]; `late`: ms that the decision, or the use of a window, is later; `use`: number of
 * the use of a window that is voted on, in place of a call; `answered`: time of the result; `stamp(world)`: an anchor's body,
 * with its blobs, sizes of heads and lines of the trust file; `instruct`: an operator's instruction before it.
 */
export async function worldOf({ votes, independent = 0, late = 0, shown = null, use = null, answered = null, stamp = null, instruct = null }) {
	const world = new World();
	const policyText = POLICY(independent) + (use === null ? '' : '  per window 1d uses 3\n');
	const policy = await parsePolicy(policyText);
	world.put('genesis', { origin: ORIGIN, suite: 'K1', vkey: ALL.log.vkey, policy: noteOf(policyText, ['sato']), hsm: {}, limits: {} });
	const plain = use === null ? callOf(T + 3600000) : openingOf(callOf(T + 3600000));
	const body = instruct === null ? plain : { ...plain, application: { id: instruct.id ?? 'action 1' }, ...instruct.call };
	if (instruct !== null)
		putInstruction(world, instruct);
	const request = world.put('intent', body, T + 1000 * world.records.length + (instruct?.late ?? 0));
	const text = await putStatement(world, policy, request, body);
	if (shown !== null)
		world.put('action', { ui_sess: 'x', actor: { name: 'sato' }, what: 'show', subject: request, shown_sha256: b64(H(shown(text))) });
	const refs = putVotes(world, request, text, votes);
	const at = T + 1000 * world.records.length;
	const decision = (said, after = 0) => ({ t: at + after, ref: world.put('decision', { request, rule: 'guarded',
		policy: { version: 1, sha256: policy.sha256 }, ...refs, not_after: body.expires, ...said }, at + after) });
	let about = request.i;
	if (use === null)
		world.put('result', answerTo(body, request, decision({ verdict: 'allow', use: 1 }, late).ref), answered ?? at + late + 1000);
	else
		about = putUse(world, request, votes, decision, { use, late });
	const more = stamp === null ? { blobs: [], sizes: [], trust: '' } : stamp(world);
	if (stamp !== null)
		world.put('anchor', more.body, world.records.at(-1).t + 1000);
	return { text: bundleOf(world, about, [request.i + 1, ...more.sizes], [DATA, SPKI, ...more.blobs]), trust: trustOf(policy, more.trust) };
}

export const bundleOf = (world, request, sizes, blobs) => world.bundle(['kanmon/bundle/v1', `origin ${ORIGIN}`, `request ${request}`,
	...world.records.map((record) => `record ${record.i}`), ...sizes.map((size) => `consistency ${size}`),
	...blobs.toSorted((a, b) => Buffer.compare(H(a), H(b))).map((blob) => `blob ${b64(blob)}`)].join('\n'));
export const trustOf = (policy, more = '') => `kanmon/trust/v1\norigin ${ORIGIN}\npolicy-sha256 ${policy.sha256}\nlog ${ALL.log.vkey}\n${more}\nquorum none\n`;

/* A call that is one record: `change` of its body, which a bulk signature would have. */
async function opOf(change) {
	const world = new World();
	const policy = await parsePolicy(POLICY(0));
	const { nonce_req: nonce, requester, expires, ...call } = callOf(0);
	world.put('genesis', { origin: ORIGIN, suite: 'K1', vkey: ALL.log.vkey, policy: noteOf(POLICY(0), ['sato']), hsm: {}, limits: {} });
	world.put('op', JSON.parse(JSON.stringify({ ...call, op: 'C_SignFinal', rule: 'bulk', policy: { version: 1, sha256: policy.sha256 }, rv: 0, rv_name: 'CKR_OK',
		out: { b64: b64(sign('sha256', DATA, { key: HSM, dsaEncoding: 'ieee-p1363' })) }, hsm: {}, dur_us: 1, resp_sha256: b64(H('r')), ...change })));
	return { text: bundleOf(world, 1, [], [DATA, SPKI]), trust: trustOf(policy) };
}

const step = (outcome, id) => outcome.steps.find((one) => one.id === id);

/* `wrong`: [step, why], or null where everything agrees. */
function judged(says, made, wrong) {
	t(says, async () => {
		const { text, trust } = await (made.op === undefined ? worldOf(made) : opOf(made.op));
		writeFileSync(`${work}/made`, text);
		writeFileSync(`${work}/made.trust`, trust);
		const outcome = await verifyBundle(Buffer.from(text), await parseTrust(trust));
		const there = spawnSync('kanmon', ['audit', 'bundle', 'verify', `${work}/made`, '--trust', `${work}/made.trust`], { encoding: 'utf8' });
		assert.equal(there.status, wrong === null ? 0 : 1, there.stdout + there.stderr);
		assert.equal(outcome.verdict, wrong === null ? 'verified' : 'failed', JSON.stringify(outcome.steps));
		if (wrong !== null)
			assert.equal(step(outcome, wrong[0]).why, wrong[1], JSON.stringify(step(outcome, wrong[0])));
	});
}

const approve = (...who) => ['approval', who];

/* What an operator asked for at the console, and the call that names it. */
function instructed(votes) {
	const differs = ['instructed', 'instruct.other'];
	judged('a call that an operator instructed', { votes, instruct: {} }, null);
	judged('instructed by somebody who is no operator', { votes, instruct: { by: 'sato', actor: 'sato' } }, ['instructed', 'instruct.may']);
	judged('instructed in another’s name', { votes, instruct: { actor: 'tanaka' } }, ['instructed', 'instruct.signer']);
	judged('an instruction that nobody signed', { votes, instruct: { by: 'stranger' } }, ['instructed', 'instruct.signer']);
	judged('an instruction that is older than five minutes', { votes, instruct: { late: 400000 } }, ['instructed', 'instruct.old']);
	judged('an instruction with a line twice', { votes, instruct: { change: (text) => text.replace('client ca\n', 'client ca\nclient ca\n') } }, ['instructed', 'instruct.form']);
	judged('an instruction about another ledger', { votes, instruct: { change: (text) => text.replace(ORIGIN, `${ORIGIN}0`) } }, ['instructed', 'instruct.may']);
	for (const [says, from, to] of [['another key', 'key-label k', 'key-label other'], ['another mechanism', 'ECDSA_SHA256', 'ECDSA_SHA384'],
		['another file', b64(H(DATA)), b64(H('other'))], ['a file of another length', `file-len ${DATA.length}`, 'file-len 99'], ['another operation', 'what sign', 'what destroy']])
		judged(`an instruction that wants ${says} than was used`, { votes, instruct: { change: (text) => text.replace(from, to) } }, differs);
	judged('an instruction for another token than the client has', { votes, instruct: { change: (text) => text.replace('token root', 'token leaf') } }, ['instructed', 'instruct.may']);
}

export function world() {
	judged('a key file and a security key', { votes: [approve('sato'), approve('suzuki')] }, null);
	judged('security keys of P-256 and of Ed25519', { votes: [approve('suzuki'), approve('yamada')] }, null);
	judged('one of Ed25519 at another page', { votes: [approve('suzuki'), ['approval', ['yamada'], { origin: 'https://console.example:8443' }]] }, ['votes', 'evidence.client']);
	judged('two cards under one note', { votes: [approve('sato2', 'tanaka')] }, null);
	judged('a screen that showed what was signed', { votes: [approve('sato'), approve('suzuki')], shown: (text) => text }, null);
	judged('a screen that showed another text', { votes: [approve('sato'), approve('suzuki')], shown: (text) => `${text} ` }, ['screen', 'screen.other']);
	judged('independent approvals are counted', { votes: [approve('sato'), approve('tanaka')], independent: 2 }, null);
	judged('what is signed in the console is not independent', { votes: [approve('sato'), approve('suzuki')], independent: 2 }, ['decision', 'decision.need']);
	judged('one person with two keys is one vote', { votes: [approve('sato', 'sato2')] }, ['votes', 'vote.twice']);
	judged('also in two notes', { votes: [approve('sato'), approve('sato2')] }, ['votes', 'vote.twice']);
	judged('who operates the client does not vote', { votes: [approve('sato'), approve('mori')] }, ['votes', 'vote.operator']);
	judged('a key out of policy does not vote', { votes: [approve('sato'), approve('stranger')] }, ['votes', 'vote.nobody']);
	judged('one vote of two is not enough', { votes: [approve('sato')] }, ['decision', 'decision.need']);
	judged('a veto stops it', { votes: [approve('sato'), approve('suzuki'), ['veto', ['tanaka']]] }, ['decision', 'decision.need']);
	judged('a veto of somebody who has none', { votes: [approve('sato'), approve('suzuki'), ['veto', ['sato']]] }, ['votes', 'vote.veto']);
	judged('decided too late', { votes: [approve('sato'), approve('suzuki')], late: 4000000 }, ['decision', 'decision.need']);
	for (const [says, how, why] of [
		['nobody touched the security key', { flags: 0x04 }, 'evidence.unverified'],
		['the person was not verified', { flags: 0x01 }, 'evidence.unverified'],
		['the security key may be copied', { flags: 0x0d }, 'evidence.synced'],
		['the security key is kept elsewhere', { flags: 0x1d }, 'evidence.synced'],
		['signed at another page', { origin: 'https://console.example.evil' }, 'evidence.client'],
		['signed for another place', { rp: 'example' }, 'evidence.rp'],
		['signed inside another page', { more: ',"topOrigin":"https://evil.example"}' }, 'evidence.client'],
	])
		judged(says, { votes: [approve('sato'), ['approval', ['suzuki'], how]] }, ['votes', why]);
	judged('client data may say more', { votes: [approve('sato'), ['approval', ['suzuki'], { more: ',"extra":1}' }]] }, null);
	const both = [approve('sato'), approve('suzuki')];
	judged('a use of an open window', { votes: both, use: 2, late: 5000 }, null);
	judged('more uses than the window has', { votes: both, use: 4, late: 5000 }, ['decision', 'decision.use']);
	judged('a use after the window', { votes: both, use: 2, late: 90000000 }, ['decision', 'decision.window']);
	judged('a window with too few votes', { votes: [approve('sato')], use: 1, late: 5000 }, ['decision', 'decision.need']);
	instructed(both);
	judged('a bulk signature, which is one record', { op: {} }, null);
	judged('whose signature is another’s', { op: { out: { b64: b64(Buffer.alloc(64, 7)) } } }, ['hsm', 'signature.hsm']);
	judged('without its signature', { op: { out: undefined } }, ['hsm', 'result.signature']);
	judged('by another function than its rule names', { op: { op: 'C_Sign' } }, ['decision', 'op.rule']);
	judged('of a rule that asks persons', { op: { rule: 'guarded' } }, ['decision', 'op.rule']);
}
