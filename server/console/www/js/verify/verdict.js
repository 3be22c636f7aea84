/*
 * One operation, from the screen to the ledger, judged in the browser: a bundle (docs/ledger.md 8a) held against trust
 * that somebody pinned. It is `verified` only where `kanmon audit bundle verify` finds nothing either.
 *
 *	const outcome = await verifyBundle(bytes, await pinnedTrust({ origin, policySha256, log }));
 *
 *	outcome.verdict     'verified': every step holds; 'failed': one does not; 'incomplete': one cannot be known here
 *	outcome.steps       [{id, verdict, why, params, digests}], in the order of STEPS
 *	  .verdict          'ok', 'failed', 'unknown' (cannot be known here), 'none' (nobody asks for it)
 *	  .why              key of the texts; `params` go into it
 *	  .digests          [{name, value}]: what was compared, in base64
 *	outcome.origin, .request, .head ({size, root}; null where the checkpoint is not signed), .statement (text or null),
 *	.code               display code of the statement, or null
 *	outcome.not         what no bundle can show: keys of the texts
 */
import { judgeTime } from './anchor.js';
import { b64, Bad, unb64, Unknown } from './bytes.js';
import { parseBundle } from './bundle.js';
import { displayCode } from './code.js';
import { instructionOf } from './instructed.js';
import { Judge } from './judge.js';
import { readCheckpoint, signersOf } from './note.js';
import { get, parseRecord } from './record.js';
import { grew, includes } from './tree.js';
import { quorumMet } from './trust.js';

export const STEPS = ['instructed', 'screen', 'statement', 'votes', 'policy', 'call', 'decision', 'hsm', 'place', 'checkpoint', 'witnesses', 'time'];

const NOT = ['not.uses', 'not.whole'];
const RANK = { none: 0, ok: 1, unknown: 2, failed: 3 };

/* The steps, each with the worst that was said of it; of several as bad the first. */
class Steps {
	constructor() {
		this.said = new Map();
	}

	note(id, verdict, why, params = {}, digests = []) {
		const before = this.said.get(id);
		if (before === undefined || RANK[verdict] > RANK[before.verdict])
			this.said.set(id, { id, verdict, why, params, digests });
	}

	fail(id, error, params = {}) {
		const known = error instanceof Bad ? error : new Bad('record.malformed', { what: error.message });
		this.note(id, known instanceof Unknown ? 'unknown' : 'failed', known.why, { ...params, ...known.params });
	}

	list() {
		return STEPS.map((id) => this.said.get(id) ?? { id, verdict: 'unknown', why: 'step.unreached', params: {}, digests: [] });
	}
}

/* ---- the checkpoint, and every line under it ----------------------------------------------------------------------- */

async function judgeCheckpoint(bundle, trust, steps) {
	let head;
	try {
		if (bundle.origin !== trust.origin)
			throw new Bad('checkpoint.origin');
		head = await readCheckpoint(bundle.note, trust.origin, trust.key);
	} catch (error) {
		steps.fail('checkpoint', error);
		return null;
	}
	steps.note('checkpoint', 'ok', 'checkpoint.ok', { size: head.size }, [{ name: 'root', value: b64(head.root) }]);
	try {
		const signed = await signersOf(head.note, trust.witnesses);
		if (trust.quorum === null)
			steps.note('witnesses', 'none', 'witnesses.none', { count: signed.length });
		else
			steps.note('witnesses', quorumMet(trust.quorum, signed) ? 'ok' : 'unknown',
				quorumMet(trust.quorum, signed) ? 'witnesses.ok' : 'witnesses.short', { count: signed.length });
	} catch (error) {
		steps.fail('witnesses', error);
	}
	return { size: head.size, root: head.root };
}

const ABOUT = new Set(['attachment', 'statement', 'approval', 'rejection', 'veto', 'decision', 'result', 'session']);

/* A reference to an earlier record of the bundle, by index and leaf. */
function referred(records, record, name) {
	const ref = get(record.body, name);
	return ref === undefined || ref.i >= record.i ? undefined : records.find((one) => one.i === ref.i && b64(one.leaf) === ref.leaf);
}

/* An instruction stands before the call that it is for, which names it. */
const isNamed = (records, action, wanted) => get(action.body, 'what') === 'instruct' && records.some((one) => one.type === 'intent' &&
	wanted.includes(one.i) && action.i < one.i && instructionOf(one.body) === action.i);

/* What is about a request is about this one, or about the window that let it run. */
function isAbout(records, record, wanted) {
	switch (record.type) {
	case 'genesis':
		return record.i === 0;
	case 'policy':
	case 'anchor':
		return true;
	case 'intent':
	case 'op':
		return wanted.includes(record.i);
	case 'redeliver':
	case 'redelivery':
		return ['result', 'op'].includes(referred(records, record, 'result')?.type);
	case 'action':
		return isNamed(records, record, wanted) || wanted.includes(referred(records, record, 'subject')?.i);
	default:
		return ABOUT.has(record.type) && wanted.includes(referred(records, record, 'request')?.i);
	}
}

/* The window that the last decision about the request names. */
function windowIn(records, request) {
	const decision = records.findLast((one) => one.type === 'decision' && get(one.body, 'request', 'i') === request &&
		get(one.body, 'window') !== undefined);
	return get(decision?.body, 'window', 'i') ?? request;
}

async function readLines(bundle, head, steps) {
	const records = [];
	let t = 0;
	for (const part of bundle.records) {
		try {
			const record = await parseRecord(part.bytes);
			records.push(record);
			if (record.i !== part.index)
				throw new Bad('place.index');
			if (!await includes(record.leaf, part.index, head, part.path))
				throw new Bad('place.tree');
			if (record.t < t)
				throw new Bad('place.time');
			({ t } = record);
		} catch (error) {
			steps.fail('place', error, { record: part.index });
		}
	}
	const wanted = [bundle.request, windowIn(records, bundle.request)];
	for (const record of records)
		if (!isAbout(records, record, wanted))
			steps.note('place', 'failed', 'place.about', { record: record.i });
	return records;
}

/* ---- what is left to say ------------------------------------------------------------------------------------------- */

function judgeHsm(judge, request, steps) {
	if (request.decision === null)
		steps.note('decision', 'unknown', 'decision.missing');
	else
		steps.note('decision', 'ok', 'decision.ok', { verdict: request.decision.verdict, rule: request.verdict.rule?.name ?? 'none' },
			[{ name: 'record', value: request.decision.leaf }]);
	if (request.decision?.verdict !== 'allow')
		steps.note('hsm', 'none', 'hsm.notasked');
	else if (request.result === null)
		steps.note('hsm', 'unknown', 'hsm.missing');
	else if (request.rv !== 0)
		steps.note('hsm', 'ok', 'hsm.error', { rv: `0x${request.rv.toString(16)}` });
	else
		steps.note('hsm', 'ok', 'hsm.answer');
}

function judgeVotes(request, records, judge, steps) {
	if (!request.held) {
		steps.note('screen', 'none', 'screen.free');
		steps.note('statement', 'none', 'statement.free', { rule: request.verdict.rule?.name ?? 'none' });
		steps.note('votes', 'none', 'votes.free');
		return;
	}
	if (request.statement === null) {
		steps.note('statement', 'unknown', 'statement.missing');
	} else {
		steps.note('statement', 'ok', 'statement.ok', {}, [{ name: 'statement', value: judge.shown }, { name: 'request', value: b64(request.leaf) }]);
	}
	steps.note('votes', 'ok', 'votes.ok', { names: request.votes.map((vote) => vote.name).join(', '), count: request.votes.length },
		request.votes.map((vote) => ({ name: vote.name, value: vote.leaf })));
	const screens = records.filter((record) => record.type === 'action' && !['instruct', 'withdraw'].includes(get(record.body, 'what'))).length;
	steps.note('screen', screens === 0 ? 'none' : 'ok', screens === 0 ? 'screen.none' : 'screen.ok', { count: screens },
		[{ name: 'statement', value: judge.shown }]);
}

/* One record is request, decision and result. */
function judgeOne({ body, leaf, policy }, steps) {
	const { rule } = body;
	if (policy !== null) {
		steps.note('policy', 'ok', 'policy.ok', { version: policy.version }, [{ name: 'policy', value: policy.sha256 }]);
		steps.note('decision', 'ok', 'op.ok', { rule }, [{ name: 'record', value: b64(leaf) }]);
	}
	steps.note('call', 'none', 'op.call', {}, [{ name: 'call', value: body.req_sha256 }]);
	steps.note('screen', 'none', 'screen.free');
	steps.note('statement', 'none', 'statement.free', { rule });
	steps.note('votes', 'none', 'votes.free');
	steps.note('hsm', 'ok', body.rv === 0 ? 'hsm.answer' : 'op.error', { rv: `0x${body.rv.toString(16)}` });
}

function judgeRest(bundle, records, judge, steps) {
	const by = judge.instructed;
	if (by !== null)
		steps.note('instructed', 'ok', 'instruct.ok', { name: by.name, record: by.i }, [{ name: 'instruction', value: by.leaf }]);
	steps.note('instructed', 'none', 'instruct.nobody');
	const request = judge.requests.get(bundle.request);
	if (judge.op?.i === bundle.request && judge.policy !== undefined) {
		judgeOne(judge.op, steps);
		return;
	}
	if (request === undefined || judge.policy === undefined) {
		steps.note('policy', 'unknown', 'policy.missing');
		steps.note('call', 'unknown', 'call.missing');
		return;
	}
	steps.note('policy', 'ok', 'policy.ok', { version: request.policy.version }, [{ name: 'policy', value: request.policy.sha256 }]);
	steps.note('call', 'ok', 'call.ok', { rule: request.verdict.rule?.name ?? 'none', client: get(request.body, 'requester', 'name') ?? '' },
		[{ name: 'requester', value: get(request.body, 'requester', 'spki_sha256') ?? '' }, { name: 'call', value: get(request.body, 'req_sha256') ?? '' }]);
	judgeHsm(judge, request, steps);
	judgeVotes(request.windowOf ?? request, records, judge, steps);
}

/** The head of a bundle's tree that a record states: proven by the bundle's own consistency proofs. */
function headProver(bundle, head) {
	return async ({ size, root }) => {
		const proof = bundle.consistency.find((one) => one.size === size);
		return proof !== undefined && grew({ size, root: unb64(root, 32) }, head, proof.path);
	};
}

async function judgeBundle(bundle, trust, steps) {
	const head = await judgeCheckpoint(bundle, trust, steps);
	if (head === null)
		return { head, judge: null };
	const records = await readLines(bundle, head, steps);
	steps.note('place', 'ok', 'place.ok', { count: records.length, size: head.size },
		records.filter((record) => record.i === bundle.request).map((record) => ({ name: 'record', value: b64(record.leaf) })));
	const isHead = headProver(bundle, head);
	const judge = new Judge({ note: steps.note.bind(steps), isHead, blobs: bundle.blobs, pinned: trust.policySha256 });
	for (const record of records)
		await judge.take(record);
	judgeRest(bundle, records, judge, steps);
	const last = Math.max(bundle.request, ...records.filter((record) => record.type === 'result').map((record) => record.i));
	await judgeTime(steps, { records, trust, isHead, blobs: bundle.blobs, last });
	return { head, judge };
}

/**
 * Judges a bundle. `data`: its bytes (a text is taken as UTF-8); `trust`: of parseTrust() or pinnedTrust(). Never throws
 * for what the bundle holds: that is an outcome of its own.
 */
export async function verifyBundle(data, trust) {
	const steps = new Steps();
	let bundle;
	try {
		bundle = await parseBundle(data);
	} catch (error) {
		steps.fail('place', error);
		return { verdict: 'failed', steps: steps.list(), origin: null, request: null, head: null, statement: null, code: null, not: NOT };
	}
	const { head, judge } = await judgeBundle(bundle, trust, steps);
	const list = steps.list();
	const worst = Math.max(...list.map((step) => RANK[step.verdict]));
	const request = judge?.requests.get(bundle.request);
	const statement = (request?.windowOf ?? request)?.statement ?? null;
	return { verdict: { 2: 'incomplete', 3: 'failed' }[worst] ?? 'verified', steps: list, origin: bundle.origin, request: bundle.request,
		head, statement, code: statement === null ? null : await displayCode(statement), not: NOT };
}
