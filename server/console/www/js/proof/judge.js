/*
 * Does what each screen showed, what each person signed, what the policy demanded and what the HSM returned agree? The
 * answers of `kanmon audit bundle verify`, computed here from a bundle and what this browser keeps of the ledger.
 * A step is {what, verdict: ok | failed | unknown, why: words, digests: [{name, value}]}.
 *
 * Not made again here: the words of `input` lines (the data's hash is compared, its decoding is not), time stamps,
 * cosignatures. The steps say so.
 */
import { linesOf, needsOf, noteText, operatorsOf, readPolicy, roleOf, ruleOf } from '../policy.js';
import { readStatement, turned, valueOf } from '../statement.js';
import { b64, unb64 } from '../verify/bytes.js';
import { sha256b64 } from '../verify/sha256.js';
import { t } from '../words.js';
import { isEarlierHead, must, parseBundle, place, Wrong } from './bundle.js';
import { signersOf } from './evidence.js';
import { verifySignature } from './signature.js';

const refers = (ref, record) => ref !== undefined && ref.i === record.i && ref.leaf === b64(record.leaf);

class Case {
	constructor(placed, trust) {
		Object.assign(this, placed, { trust });
		this.intent = this.records.find((record) => record.i === this.request);
		must(this.intent?.type === 'intent', 'proof.norequest');
		const about = (type) => this.records.filter((record) => record.type === type && record.body.request?.i === this.request);
		this.statement = about('statement')[0] ?? null;
		this.votes = this.records.filter((record) => ['approval', 'rejection', 'veto'].includes(record.type) && record.body.request.i === this.request);
		this.decision = about('decision').at(-1) ?? null;
		this.result = about('result').at(-1) ?? null;
		this.shown = this.records.filter((record) => record.type === 'action');
	}

	/* Everything that is about the request says so by index and leaf. */
	checkReferences() {
		for (const record of [this.statement, ...this.votes, this.decision, this.result])
			must(record === null || refers(record.body.request, this.intent), 'proof.reference', record?.i);
	}
}

/* ---- policy --------------------------------------------------------------------------------------------------- */

function enough(role, persons, policy) {
	const wanted = new Set(role.persons.map((name) => linesOf(policy, 'custodian').concat(linesOf(policy, 'auditor')).find((words) => words[1] === name)?.[2]));

	return new Set(persons.filter((person) => wanted.has(person))).size >= role.least;
}

async function signedBy(note, policies) {
	for (const policy of policies) {
		const { signers } = await signersOf(note, policy);
		must(enough(roleOf(policy, 'policy'), signers.map((signer) => signer.person), policy), 'proof.policy.quorum', policy.head.version);
	}
}

/* From the pinned version 1 to the one in force at the request. */
async function policyStep(c) {
	const genesis = c.records.find((record) => record.type === 'genesis');
	must(genesis !== undefined, 'proof.nopolicy');
	let text = noteText(genesis.body.policy), current = readPolicy(text);

	must(await sha256b64(text) === c.trust.policy, 'proof.policy.pinned');
	await signedBy(genesis.body.policy, [current]);
	for (const record of c.records.filter((one) => one.type === 'policy' && one.i < c.intent.i)) {
		const nextText = noteText(record.body.note), next = readPolicy(nextText);
		must(next.head.version === String(Number(current.head.version) + 1) && next.head.previous === await sha256b64(text), 'proof.policy.chain', next.head.version);
		must(record.body.proposal === undefined, 'proof.policy.recovery', next.head.version);
		await signedBy(record.body.note, [current, next]);
		[text, current] = [nextText, next];
	}
	c.policy = current;
	c.policyHash = await sha256b64(text);
	return { why: t('proof.policy.ok', current.head.version), digests: [{ name: t('policy.hash'), value: c.policyHash }] };
}

/* ---- the statement and who signed it -------------------------------------------------------------------------- */

/* Lines that follow from the intent alone; {key: value}. */
function linesFrom(intent) {
	const { body } = intent;
	const key = body.key ?? {};
	const stamp = (ms) => new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');

	return {
		request: String(intent.i), operation: body.op, 'not-before': stamp(intent.t), 'not-after': stamp(body.expires), nonce: body.nonce_req,
		...(body.mech.name === undefined ? {} : { mechanism: body.mech.name }),
		...(body.in?.sha256 === undefined ? {} : { 'input-sha256': body.in.sha256, 'input-len': String(body.in.len) }),
		...(key.spki_sha256 === undefined || body.op.startsWith('C_Generate') ? {} : { 'key-spki-sha256': key.spki_sha256 }),
	};
}

async function statementStep(c) {
	must(c.statement !== null, 'proof.nostatement');
	const { text, sha256, head } = c.statement.body;
	const statement = readStatement(text);

	must(statement !== null && await sha256b64(text) === sha256, 'proof.statement.hash');
	must(valueOf(statement, 'request-leaf') === b64(c.intent.leaf), 'proof.statement.line', 'request-leaf');
	must(valueOf(statement, 'origin') === c.trust.origin, 'proof.statement.line', 'origin');
	must(valueOf(statement, 'policy') === `${c.policy.head.version} ${c.policyHash}`, 'proof.statement.line', 'policy');
	must(valueOf(statement, 'head') === `${head.size} ${head.root}`, 'proof.statement.line', 'head');
	must(valueOf(statement, 'requester')?.endsWith(` ${c.intent.body.requester.spki_sha256}`), 'proof.statement.line', 'requester');
	if (!c.records.some((record) => record.type === 'attachment'))
		for (const [key, value] of Object.entries(linesFrom(c.intent)))
			must(valueOf(statement, key) === value, 'proof.statement.line', key);
	must(await isEarlierHead(c, head.size, unb64(head.root, 32)), 'proof.statement.head');
	c.lines = statement;
	c.statementHash = sha256;
	return { why: t('proof.statement.ok', statement.lines.length + 1), digests: [{ name: t('request.statement'), value: sha256 }, { name: t('proof.leaf'), value: b64(c.intent.leaf) }] };
}

async function votesStep(c) {
	const operators = operatorsOf(c.policy, c.intent.body.requester.name);
	c.counted = [];
	for (const record of c.votes.filter((vote) => vote.body.check === 'ok')) {
		const { text, signers } = await signersOf(record.body.note, c.policy);
		const decision = valueOf(readStatement(text), 'decision');
		const reason = valueOf(readStatement(text), 'reason');

		must(text === (decision === 'approve' ? c.statement.body.text : turned(c.statement.body.text, decision, reason)), 'proof.vote.text', record.i);
		must(signers.length > 0, 'proof.vote.nobody', record.i);
		for (const signer of signers) {
			must(decision === 'veto' || !operators.includes(signer.name), 'proof.vote.operator', signer.name);
			must(decision === 'veto' || !c.counted.some((vote) => vote.person === signer.person && vote.decision !== 'veto'), 'proof.vote.twice', signer.name);
			c.counted.push({ ...signer, decision, record });
		}
	}
	const said = (decision) => c.counted.filter((vote) => vote.decision === decision).map((vote) => vote.name).join(', ');
	return {
		why: [['approve', 'request.approved_by'], ['reject', 'request.rejected_by'], ['veto', 'role.veto']].filter(([decision]) => said(decision) !== '')
			.map(([decision, word]) => `${t(word)}: ${said(decision)}`).join('; ') || t('request.checks.novotes'),
		digests: c.counted.map((vote) => ({ name: vote.name, value: b64(vote.record.leaf) })),
	};
}

async function screenStep(c) {
	if (c.shown.length === 0)
		return { verdict: 'unknown', why: t('proof.screen.none') };
	for (const record of c.shown)
		must(record.body.shown_sha256 === c.statementHash, 'proof.screen.other', record.body.actor?.name ?? '', record.i);
	return { why: t('proof.screen.ok', c.shown.map((record) => record.body.actor?.name ?? '?').join(', ')), digests: [{ name: t('proof.shown'), value: c.statementHash }] };
}

/* ---- decision and result -------------------------------------------------------------------------------------- */

/* Can these persons fill the places of all groups, each one place? (Kuhn's augmenting paths.) */
function fills(needs, names) {
	const places = needs.flatMap((need) => Array.from({ length: need.least }, () => need.persons));
	const holder = new Map();
	const seat = (place, tried) => places[place].filter((name) => names.includes(name) && !tried.has(name)).some((name) => {
		tried.add(name);
		if (holder.has(name) && !seat(holder.get(name), tried))
			return false;
		holder.set(name, place);
		return true;
	});

	return places.every((_, place) => seat(place, new Set()));
}

async function decidedStep(c) {
	if (c.decision === null)
		return { verdict: 'unknown', why: t('proof.undecided') };
	const { body } = c.decision;
	const rule = ruleOf(c.policy, body.rule);
	const before = c.counted.filter((vote) => vote.record.i < c.decision.i);
	const approvals = before.filter((vote) => vote.decision === 'approve');
	const records = [...new Set(approvals.map((vote) => vote.record))];

	must(rule !== null && body.rule === valueOf(c.lines, 'rule') && body.policy.sha256 === c.policyHash, 'proof.decision.rule');
	must(body.approvals.length === records.length && body.approvals.every((ref, i) => refers(ref, records[i])), 'proof.decision.votes');
	if (body.verdict === 'allow' || body.verdict === 'open') {
		must(fills(needsOf(c.policy, rule), approvals.map((vote) => vote.name)), 'proof.decision.need');
		must(approvals.filter((vote) => vote.independent).length >= Number(valueOf(c.lines, 'independent')), 'proof.decision.independent');
		must(c.decision.t - 2000 <= c.intent.body.expires, 'proof.decision.late');
		const veto = roleOf(c.policy, 'veto');
		must(veto === null || before.filter((vote) => vote.decision === 'veto').length < veto.least, 'proof.decision.vetoed');
	}
	return { why: t('proof.decision.ok', body.verdict, body.rule), digests: [{ name: t('proof.leaf'), value: b64(c.decision.leaf) }] };
}

async function hsmStep(c) {
	if (c.result === null)
		return { verdict: c.decision?.body.verdict === 'allow' ? 'unknown' : 'ok', why: t('proof.noresult') };
	const { body } = c.result;

	must(c.decision?.body.verdict === 'allow' && refers(body.decision, c.decision), 'proof.result.reference');
	const digests = [{ name: t('proof.leaf'), value: b64(c.result.leaf) }];
	if (body.rv !== 0 || body.out?.b64 === undefined || c.intent.body.norm === undefined)
		return { why: t('proof.result.nosignature', body.rv_name), digests };
	const spki = c.blobs.get(valueOf(c.lines, 'key-spki-sha256'));
	const data = c.blobs.get(valueOf(c.lines, 'input-sha256')) ?? null;
	if (spki === undefined)
		return { verdict: 'unknown', why: t('proof.result.nokey'), digests };
	const good = await verifySignature(spki, c.intent.body.norm, data, unb64(body.out.b64));
	must(good !== false, 'proof.result.signature');
	return good === null ? { verdict: 'unknown', why: t('proof.result.nodata'), digests }
		: { why: t('proof.result.ok'), digests: [{ name: t('keys.spki'), value: valueOf(c.lines, 'key-spki-sha256') }, ...digests] };
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

const steps = [['screen', screenStep], ['statement', statementStep], ['votes', votesStep], ['policy', policyStep], ['decision', decidedStep], ['hsm', hsmStep]];
/* What is asked first, whatever is shown first. */
const order = ['policy', 'statement', 'votes', 'screen', 'decision', 'hsm'];

const wordsOf = (error) => (error instanceof Wrong ? t(error.why, ...error.values) : t('proof.form'));

async function run(what, step, c) {
	try {
		return { what, verdict: 'ok', digests: [], ...await step(c) };
	} catch (error) {
		return { what, verdict: 'failed', why: wordsOf(error), digests: [] };
	}
}

/* {verdict, steps, request}. `trust`: {origin, log, policy}. */
export async function judgeBundle(text, trust) {
	let c;

	try {
		c = new Case(await place(parseBundle(text), trust), trust);
		c.checkReferences();
	} catch (error) {
		return { verdict: 'failed', steps: [{ what: 'place', verdict: 'failed', why: wordsOf(error), digests: [] }] };
	}
	const found = {};
	const jobs = Object.fromEntries(steps);
	for (const what of order) {
		found[what] = await run(what, jobs[what], c);
		/* What follows hangs from it: it cannot be judged. */
		if (found[what].verdict === 'failed' && what !== 'screen')
			break;
	}
	const list = steps.map(([what]) => found[what] ?? { what, verdict: 'unknown', why: t('proof.notreached'), digests: [] });
	list.push({ what: 'place', verdict: 'ok', why: t('proof.place.ok', c.records.length, c.head.size), digests: [{ name: t('health.root'), value: b64(c.head.root) }] });
	const failed = list.some((step) => step.verdict === 'failed');
	const open = c.decision === null || list.some((step) => step.verdict === 'unknown' && step.what !== 'screen');
	return { verdict: failed ? 'failed' : open ? 'unknown' : 'ok', steps: list, request: c.request };
}
