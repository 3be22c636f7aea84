/*
 * Bundles that `kanmon audit bundle` made, as they are and changed: the browser's verdict beside that of
 * `kanmon audit bundle verify`. Never is something verified here that is not there; nothing that agrees there fails here.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseTrust } from '../../../server/console/www/js/verify/trust.js';
import { verifyBundle } from '../../../server/console/www/js/verify/verdict.js';
import { test as t } from '../browser/tap.mjs';
import { Ledger } from './forge.mjs';
import { LESS } from './limits.mjs';

const long = process.env.KMN_TEST_LONG !== undefined;
const examples = `${process.env.KMN_SOURCE}/docs/examples`;
const { KMN_WORK: work } = process.env;
const kanmon = (...words) => spawnSync('kanmon', words, { encoding: 'utf8', maxBuffer: 1 << 26 });
const EXITS = { 0: 'verified', 1: 'failed', 2: 'incomplete', 3: 'incomplete' };

const trustText = readFileSync(`${examples}/trust`, 'utf8');
writeFileSync(`${work}/trust`, trustText);
/* Without time stamps and witnesses, who sign nothing that is made here. */
const lonelyText = trustText.replace(/^(?:tsa|witness|quorum) .*\n/gm, '').concat('quorum none\n');
writeFileSync(`${work}/lonely`, lonelyText);

function theirs(text, trust) {
	writeFileSync(`${work}/bent`, text);
	return EXITS[kanmon('audit', 'bundle', 'verify', `${work}/bent`, '--trust', `${work}/${trust}`).status];
}

const step = (outcome, id) => outcome.steps.find((one) => one.id === id);
const bundleOf = (i) => execFileSync('kanmon', ['audit', 'bundle', `${examples}/ledger`, String(i)], { encoding: 'utf8' });
const fresh = () => new Ledger(`${examples}/ledger`, Buffer.from(readFileSync(`${examples}/log.key`, 'utf8').trim(), 'base64'));

/* A seeded generator: a failing change can be tried again. */
function random(seed) {
	let state = seed;
	return (n) => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return Math.floor((state / 2 ** 32) * n);
	};
}

function bentLines(text) {
	const lines = text.split('\n');
	return lines.slice(0, -1).flatMap((line, n) => [
		[...lines.slice(0, n), ...lines.slice(n + 1)],
		[...lines.slice(0, n), line, ...lines.slice(n)],
		[...lines.slice(0, n), lines[n + 1], line, ...lines.slice(n + 2)],
	]).map((list) => list.join('\n')).filter((bent) => bent !== text);
}

function* bentBytes(text, stride) {
	const bytes = Buffer.from(text);
	for (let at = 0; at < bytes.length; at += stride) {
		const bent = Buffer.from(bytes);
		bent[at] ^= 1 << (Math.floor(at / stride) % 8);
		yield bent;
	}
}

/* Changes one value somewhere in a record's body; answers what it did. */
function edit(body, pick) {
	const places = [];
	const walk = (value, path) => {
		for (const [name, item] of Object.entries(value)) {
			places.push([value, name, [...path, name].join('.')]);
			if (item !== null && typeof item === 'object')
				walk(item, [...path, name]);
		}
	};
	walk(body, []);
	const [object, name, path] = places[pick(places.length)];
	const now = object[name];
	if (Array.isArray(object) || pick(6) === 0) {
		if (Array.isArray(object))
			object.splice(Number(name), pick(2), ...(pick(2) === 0 ? [structuredClone(now)] : []));
		else
			delete object[name];
	} else if (typeof now === 'number') {
		object[name] = [now + 1, Math.max(0, now - 1), 0, now * 1000][pick(4)];
	} else if (typeof now === 'boolean') {
		object[name] = !now;
	} else if (typeof now === 'string') {
		const at = pick(now.length + 1);
		object[name] = pick(3) === 0 ? 'allow' : now.slice(0, at) + 'aB1='[pick(4)] + now.slice(at + 1);
	} else {
		object[name] = Array.isArray(now) ? [...now].reverse() : {};
	}
	return path;
}

export async function bundles() {
	const trusts = { trust: await parseTrust(trustText), lonely: await parseTrust(lonelyText) };
	const ours = (data, name = 'trust') => verifyBundle(typeof data === 'string' ? Buffer.from(data) : data, trusts[name]);
	const agree = async (text, what, name = 'trust') => {
		const [mine, other] = [await ours(text, name), theirs(text, name)];
		const said = mine.steps.filter((one) => one.verdict === 'failed' || one.verdict === 'unknown').map((one) => `${one.id} ${one.why}`);
		assert.ok(mine.verdict !== 'verified' || other === 'verified', `${what}: here ${mine.verdict}, there ${other}`);
		assert.ok(mine.verdict !== 'failed' || other === 'failed', `${what}: here ${mine.verdict} (${said.join('; ')}), there ${other}`);
		const unknown = mine.steps.filter((one) => one.verdict === 'unknown' && one.why !== 'step.unreached').map((one) => one.why);
		assert.ok(mine.verdict !== 'incomplete' || other !== 'verified' || unknown.every((why) => LESS.has(why)), `${what}: ${said.join('; ')}`);
		return [mine, other];
	};
	const asked = fresh().records.filter((record) => record.type === 'intent' || record.type === 'op').map((record) => record.i);
	const whole = new Map(asked.map((i) => [i, bundleOf(i)]));
	const signing = asked.find((i) => whole.get(i).includes('"op":"C_Sign"'));

	for (const [i, text] of whole)
		t(`request ${i} of the sample ledger: both say the same`, async () => {
			const [mine, other] = await agree(text, `request ${i}`);
			assert.equal(mine.verdict, other);
		});
	t('a bundle of another origin', async () => assert.equal(step(await ours(whole.get(signing).replace('\norigin k', '\norigin x')), 'checkpoint').why, 'checkpoint.origin'));
	const unseen = async (list) => {
		for (const bent of list)
			assert.ok((await ours(bent)).verdict !== 'verified' || theirs(bent, 'trust') === 'verified', String(bent));
	};
	t('every line dropped, repeated, swapped is seen', () => unseen(bentLines(whole.get(signing)).filter((_, n) => long || n % 5 === 0)));
	t('every byte changed is seen', () => unseen(bentBytes(whole.get(signing), long ? 1 : 173)));
	t('lines changed: both say the same', async () => {
		const list = bentLines(whole.get(signing));
		for (let n = 0; n < list.length; n += long ? 1 : 17)
			await agree(list[n], `line change ${n}`);
	});
	forged({ whole, signing, agree });
}

/* By who holds the log key: everything is in its place, and says something else. */
function forged({ whole, signing, agree }) {
	const about = (ledger, type, i = signing) => ledger.records.find((record) => record.type === type && record.body.request?.i === i);
	const forge = async (says, type, change, want, like = signing) => t(says, async () => {
		const ledger = fresh();
		const record = type === 'intent' || type === 'op' ? ledger.records[like] : about(ledger, type, like);
		change(record.body, ledger, record);
		ledger.remake(record.i);
		const text = ledger.bundle(whole.get(like));
		const [mine, other] = await agree(text, says, 'lonely');
		assert.equal(other, 'failed');
		assert.equal(step(mine, want).verdict, 'failed', `${want}: ${JSON.stringify(mine.steps)}`);
	});

	t('the ledger made again is the same', async () => {
		const ledger = fresh();
		ledger.remake(0);
		assert.equal((await agree(ledger.bundle(whole.get(signing)), 'made again', 'lonely'))[0].verdict, 'verified');
	});
	forge('a vote left out of the decision', 'decision', (body) => body.approvals.pop(), 'decision');
	forge('a vote counted twice', 'decision', (body) => body.approvals.push(body.approvals[0]), 'decision');
	forge('the votes in another order', 'decision', (body) => body.approvals.reverse(), 'decision');
	forge('another rule', 'decision', (body) => Object.assign(body, { rule: 'look' }), 'decision');
	forge('a use that is not the next', 'decision', (body) => Object.assign(body, { use: 2 }), 'decision');
	forge('a vote that does not count, said to', 'decision', (body, ledger) => {
		const vote = about(ledger, 'approval');
		vote.body.check = 'expired';
		ledger.remake(vote.i);
	}, 'votes');
	forge('a statement for other data', 'statement', (body) => {
		body.text = body.text.replace('serial 7d', 'serial 7e');
	}, 'statement');
	forge('a statement with another purpose, its hash made right', 'statement', async (body) => {
		body.text = body.text.replace('purpose none', 'purpose kind');
	}, 'statement');
	forge('a vote over another statement', 'approval', (body) => {
		body.note = body.note.replace('serial 7d', 'serial 7e');
	}, 'votes');
	forge('a signature of another person below it', 'approval', (body, ledger) => {
		const notes = ledger.records.filter((record) => record.type === 'approval' && record.body.request.i === signing).map((record) => record.body.note);
		body.note = notes[0].slice(0, notes[0].indexOf('\n\n') + 2) + notes[1].slice(notes[1].indexOf('\n\n') + 2).replace(/^— \S+/, notes[0].match(/— \S+/)[0]);
		body.note = body.note.replace(/^(— \S+ )(.)/m, '$1$2');
	}, 'votes');
	forge('the same person again', 'approval', (body, ledger) => {
		const [, second] = ledger.records.filter((record) => record.type === 'approval' && record.body.request.i === signing);
		second.body.note = body.note;
	}, 'votes');
	forge('a request whose rule admits no such call', 'intent', (body) => {
		body.mech.name = 'CKM_MD5_RSA_PKCS';
	}, 'statement');
	forge('a request of a key that another rule guards', 'intent', (body) => {
		body.key.label = 'nobody';
	}, 'decision');
	forge('a signature of the HSM over something else', 'result', (body) => {
		body.out.b64 = `${body.out.b64[1]}${body.out.b64[0]}${body.out.b64.slice(2)}`;
	}, 'hsm');
	forge('a result without its signature', 'result', (body) => {
		delete body.out;
	}, 'hsm');
	forge('a result of another decision', 'result', (body) => {
		body.decision = { ...body.request };
	}, 'hsm');
	const content = fresh().records.find((record) => record.type === 'attachment').body.request.i;
	const spki = { sha256: fresh().records[content].body.key.spki_sha256, len: 91 };
	forge('an attachment of another application', 'attachment', (body) => Object.assign(body.application, { id: 'APP-2026-9999' }), 'statement', content);
	forge('an attachment of data that was not what was signed', 'attachment', (body) => Object.assign(body, { in: spki }), 'statement', content);
	forge('an attachment said to be over a content', 'attachment', (body) => Object.assign(body, { econtent: spki }), 'statement', content);
	const once = [...whole.keys()].find((i) => whole.get(i).includes('"type":"op"'));
	for (const [says, change] of [['a call of class A that is one record', (body) => Object.assign(body, { op: 'C_GenerateKeyPair' })],
		['a use of a key by a rule that decides of none', (body) => Object.assign(body, { op: 'C_Sign' })],
		['a rule that asks persons', (body) => Object.assign(body, { rule: 'root-key' })],
		['a rule that there is not', (body) => Object.assign(body, { rule: 'nobody' })],
		['a policy that was not in force', (body) => Object.assign(body.policy, { version: 2 })]])
		forge(says, 'op', change, 'decision', once);
	t('what was refused may be one record, whatever it was', async () => {
		const ledger = fresh();
		Object.assign(ledger.records[once].body, { op: 'C_GenerateKeyPair', rule: 'none', rv: 0x70, rv_name: 'CKR_MECHANISM_INVALID' });
		ledger.remake(once);
		const [mine, other] = await agree(ledger.bundle(whole.get(once)), 'refused', 'lonely');
		assert.deepEqual([mine.verdict, other], ['verified', 'verified']);
	});
	t('records changed at random: both say the same', async () => {
		const seed = Number(process.env.KMN_TEST_SEED ?? Date.now() % 100000);
		const pick = random(seed);
		const keys = [...whole.keys()];
		const seen = { verified: 0, failed: 0, incomplete: 0 };
		for (let n = 0; n < (long ? 3000 : 40); n++) {
			const like = keys[pick(keys.length)];
			const ledger = fresh();
			const indexes = [...whole.get(like).matchAll(/^record (\d+) /gm)].map((m) => Number(m[1])).filter((i) => i > 0);
			const i = indexes[pick(indexes.length)];
			const path = edit(ledger.records[i].body, pick);
			ledger.remake(i);
			const [mine] = await agree(ledger.bundle(whole.get(like)), `seed ${seed}, change ${n}: ${ledger.records[i].type} ${i} ${path}`, 'lonely');
			seen[mine.verdict]++;
		}
		console.log(`# seed ${seed}: ${JSON.stringify(seen)}`);
		assert.ok(seen.failed > 0);
	});
}
