/*
 * The records of a bundle, one after the other, judged as the auditor's program judges them (docs/statements.md 5, 6):
 * what is wrong is said of the step that it belongs to, and so is what cannot be told here.
 */
import { b64, Bad, need, number, Unknown, utf8 } from './bytes.js';
import { evidenceOf } from './evidence.js';
import { differs, instructionOf, judgeInstruct } from './instructed.js';
import { normOf } from './norm.js';
import { NOTE_IN_RECORD_MAX, parseNote } from './note.js';
import { judgeOp } from './op.js';
import { isMet, membersOf, parsePolicy } from './policy.js';
import { get } from './record.js';
import { judgeIntent } from './rules.js';
import { sha256b64 } from './sha256.js';
import { verifyResult } from './signature.js';
import { firstDifference, lineOf, makeStatement, materialOf, readVote, turn } from './statement.js';
import { isValue } from './value.js';

const GRACE = 2000; /* a decision is taken a moment before its record has a time */
const BUFFER_TOO_SMALL = 0x150;
const STATEMENT_MAX = 20480;
const STARTED = ['open', 'offered', 'window'];
const LISTS = { approvals: 'approval', rejections: 'rejection', vetoes: 'veto' };

const isText = (object, ...names) => typeof get(object, ...names) === 'string';
const isHash = (object, ...names) => /^[A-Za-z0-9+/]{43}=$/.test(get(object, ...names));

/* Who asks for what, why: two members, one at least. */
function isApplication(application) {
	const { id, key_spki_sha256: key, ...rest } = application;
	return Object.keys(rest).length === 0 && (id !== undefined || key !== undefined) && (id === undefined || (typeof id === 'string' && isValue(id, 256))) &&
		(key === undefined || isHash({ key }, 'key'));
}

/* What a statement is made of has the kinds that it must have. */
function isIntent(body) {
	const { key, login, application } = body;
	const sealed = get(login, 'pin') !== 'sealed' || (typeof login.least === 'number' && typeof login.of === 'number' && isHash(login, 'sealed_sha256') &&
		isHash(login, 'key'));
	return isText(body, 'requester', 'name') && isHash(body, 'requester', 'spki_sha256') && sealed &&
		(!isText(key, 'id') || /^(?:[0-9a-fA-F]{2})*$/.test(key.id)) && (application === undefined || isApplication(application));
}

/* An error that is about the policy in force. */
class BadPolicy extends Bad {}

export class Judge {
	/**
	 * `note(step, verdict, why, params, digests)` is told of everything; `isHead(head)`: is it one of the checkpoint's tree;
	 * `blobs`: Map of base64 hashes to bytes; `pinned`: base64 hash of policy 1.
	 */
	constructor({ note, isHead, blobs, pinned }) {
		Object.assign(this, { note, isHead, blobs, pinned, policies: [], requests: new Map(), instructions: new Map(), instructed: null, shown: null, signatures: 0, op: null });
	}

	get policy() {
		return this.policies.at(-1);
	}

	/** Takes the next record of the bundle in. */
	async take(record) {
		const takers = { genesis: 'takePolicy', policy: 'takePolicy', intent: 'takeIntent', attachment: 'takeAttachment',
			statement: 'takeStatement', approval: 'takeVote', rejection: 'takeVote', veto: 'takeVote', decision: 'takeDecision',
			result: 'takeResult', op: 'takeOp', session: 'takeSession', action: 'takeAction' };
		if (!Object.hasOwn(takers, record.type))
			return;
		try {
			await this[takers[record.type]](record);
		} catch (error) {
			this.say(error, record);
		}
	}

	/* The step that an error belongs to. Code that trips over a record is no better than a record that is wrong. */
	say(error, record, where = null) {
		const steps = { genesis: 'policy', policy: 'policy', intent: 'call', attachment: 'call', decision: 'decision', op: 'decision', result: 'hsm',
			session: 'hsm', action: 'screen', statement: 'statement' };
		const step = where ?? (error instanceof BadPolicy ? 'policy' : steps[record.type] ?? 'votes');
		const known = error instanceof Bad ? error : new Bad('record.malformed', { what: error.message });
		this.note(step, known instanceof Unknown ? 'unknown' : 'failed', known.why, { record: record.i, ...known.params });
	}

	/* ---- policy ----------------------------------------------------------------------------------------------- */

	async takePolicy(record) {
		const first = record.type === 'genesis';
		const before = this.policy;
		const note = parseNote(first ? record.body.policy : record.body.note);
		const policy = await parsePolicy(note.text);
		need(first === (before === undefined), 'policy.order');
		need(policy.version === (first ? 1 : before.version + 1) && (first || (policy.previous === before.sha256 &&
			policy.origin === before.origin)), 'policy.order');
		await this.signedBy(note, policy, 'policy');
		policy.since = record.t;
		if (first) {
			this.policies.push(policy);
			need(record.body.origin === policy.origin, 'policy.origin');
			need(policy.sha256 === this.pinned, 'policy.pinned');
			return;
		}
		await this.signedBy(note, before, get(record.body, 'proposal') === undefined ? 'policy' : 'recovery');
		need(record.t - GRACE < policy.expires && record.t >= policy.notBefore, 'policy.time');
		this.policies.push(policy);
		need(record.body.version === policy.version, 'policy.order');
	}

	async signedBy(note, policy, role) {
		const signers = await evidenceOf(note, policy.people, policy.places);
		const { least, members } = policy.roles.get(role) ?? { least: Infinity, members: [] };
		need(members.filter((name) => signers.some((one) => one.name === name)).length >= least, 'policy.quorum', { version: policy.version });
	}

	/* ---- the request ------------------------------------------------------------------------------------------ */

	/* The request that a record refers to, by index and leaf. */
	requestOf(record) {
		const ref = get(record.body, 'request');
		const request = this.requests.get(ref.i);
		need(request !== undefined && ref.leaf === b64(request.leaf), 'record.request');
		return request;
	}

	/* By the record's time; where that refuses, by the moment before it. */
	judgeTwice(policy, body, material, t) {
		const verdict = judgeIntent(policy, body, material, t);
		if (verdict.answer !== 'refused')
			return verdict;
		const before = judgeIntent(policy, body, material, t - GRACE);
		return before.answer === 'refused' ? verdict : before;
	}

	/* What the policy says of it; where that cannot be told, what follows is held against the rule that it names. */
	verdictOf(body, material, record) {
		try {
			return this.judgeTwice(this.policy, body, material, record.t);
		} catch (error) {
			if (!(error instanceof Unknown))
				throw error;
			this.say(error, record);
			return { answer: 'unknown', rule: null };
		}
	}

	async takeIntent(record) {
		if (this.policy === undefined)
			throw new BadPolicy('policy.missing');
		const { body } = record;
		need(isIntent(body), 'call.form');
		this.takeInstructed(record);
		const material = await materialOf(body, this.blobs);
		const verdict = this.verdictOf(body, material, record);
		const request = { i: record.i, leaf: record.leaf, t: record.t, body, material, verdict, policy: this.policy, attachment: null,
			window: get(body, 'window') !== undefined, state: 'open', statement: null, votes: [], used: 0, notAfter: body.expires,
			until: null, decision: null, result: null, rv: null, windowOf: null };
		request.uses = request.window ? get(body, 'window', 'uses') : 1;
		request.awaits = verdict.answer === 'refused' && verdict.contentMissing === true && verdict.rule.per.per !== 'login' &&
			material.norm !== null;
		request.held = request.awaits || (verdict.answer === 'held' && !this.needsWindow(request));
		this.requests.set(record.i, request);
		if (request.held && !request.awaits)
			need(body.expires >= record.t && body.expires - record.t <= verdict.rule.lifetime * 1000, 'call.lifetime');
	}

	needsWindow(request) {
		return request.verdict.answer === 'held' && request.verdict.rule.per.per === 'window' && !request.window;
	}

	async takeAttachment(record) {
		const request = this.requestOf(record);
		need((request.awaits || request.verdict.answer === 'unknown') && request.state === 'open' && request.attachment === null &&
			request.policy === this.policy && record.t - GRACE <= request.notAfter, 'call.attachment');
		const body = { ...request.body };
		for (const name of ['in', 'econtent', 'application'])
			if (get(record.body, name) !== undefined)
				body[name] = record.body[name];
		need(isIntent(body), 'call.form');
		const material = await materialOf(body, this.blobs);
		need(material.isData || material.unknown !== null, 'call.attachment');
		need(get(body, 'econtent') === undefined || this.blobs.has(body.econtent.sha256), 'call.attachment');
		const verdict = this.verdictOf(body, material, record);
		Object.assign(request, { body, material, verdict, awaits: false, attachment: { i: record.i, leaf: record.leaf } });
		need(['free', 'unknown'].includes(verdict.answer) || (verdict.answer === 'held' && verdict.rule.per.per !== 'login' &&
			request.notAfter - request.t <= verdict.rule.lifetime * 1000), 'call.attachment');
	}

	/* A rule that could not be judged: the one that is named, if it asks persons. */
	assumeRule(request, name) {
		const rule = request.policy.rules.find((one) => one.name === name);
		need(rule !== undefined, 'call.rule', { rule: name });
		const answer = { none: 'free', deny: 'refused', groups: 'held' }[rule.need];
		request.verdict = { answer, rule, assumed: true };
		request.held = answer === 'held' && !this.needsWindow(request);
	}

	/* ---- statement and votes ---------------------------------------------------------------------------------- */

	async takeStatement(record) {
		const request = this.requestOf(record);
		const { text, head, sha256 } = record.body;
		this.shown = await sha256b64(text);
		if (request.verdict.answer === 'unknown')
			this.assumeRule(request, lineOf(text, 'rule'));
		need(request.verdict.answer === 'held' && !this.needsWindow(request) && request.state === 'open', 'statement.undue');
		request.statement = text;
		request.state = 'offered';
		need(sha256 === this.shown && utf8(text).length <= STATEMENT_MAX, 'statement.hash');
		need(Object.keys(head).length === 2 && head.size > request.i && head.size > (request.attachment?.i ?? 0) && head.size <= record.i &&
			await this.isHead(head), 'statement.head');
		const again = await makeStatement(request, request.policy, request.verdict.rule, head, request.material, text);
		const line = firstDifference(again, text);
		need(line === null, 'statement.line', { line });
		if (request.material.unknown !== null)
			throw new Unknown('statement.input', { record: record.i });
	}

	/* Who signed a note that counts; Bad with the reason why it does not. */
	async checkNote(note, now) {
		const parsed = parseNote(note, NOTE_IN_RECORD_MAX);
		const said = readVote(parsed.text);
		need(said !== null, 'vote.form');
		const request = this.requests.get(number(said.request ?? ''));
		need(request?.held === true && said.leaf === b64(request.leaf), 'vote.request');
		need(request.state === 'offered' || (request.state === 'window' && said.kind === 'veto'), 'vote.undue');
		need(parsed.text === turn(request.statement, said), 'vote.text');
		need(request.policy === this.policy, 'vote.policy');
		need(now <= (request.state === 'window' ? request.until : request.notAfter), 'vote.late');
		const signers = await evidenceOf(parsed, request.policy.people, request.policy.places);
		need(signers.length > 0, 'vote.nobody');
		need(new Set(signers.map((one) => one.name)).size === signers.length, 'vote.twice', { name: signers[0].name });
		for (const signer of signers)
			this.checkVoter(request, said.kind, signer.name);
		return { request, kind: said.kind, signers };
	}

	checkVoter(request, kind, name) {
		const { policy, verdict } = request;
		const client = policy.clients.find((one) => one.spki === request.body.requester.spki_sha256);
		need(!request.votes.some((vote) => vote.name === name && (vote.kind === 'veto') === (kind === 'veto')), 'vote.twice', { name });
		if (kind === 'veto') {
			need(policy.roles.get('veto')?.members.includes(name), 'vote.veto', { name });
			return;
		}
		need(client === undefined || !client.operators.includes(name), 'vote.operator', { name });
		need(verdict.rule.groups.some((group) => membersOf(policy, group).includes(name)), 'vote.group', { name });
	}

	async takeVote(record) {
		const request = this.requestOf(record);
		const { note, check } = record.body;
		const ok = check === 'ok';
		let vote;
		try {
			vote = await this.checkNote(note, ok ? record.t - GRACE : record.t);
		} catch (error) {
			if (error instanceof Unknown || !(error instanceof Bad) || ok)
				throw error;
			return; /* it does not count, as it says */
		}
		need(ok, 'vote.check');
		need(vote.request === request && vote.kind === record.type, 'vote.request');
		for (const signer of vote.signers)
			request.votes.push({ ...signer, kind: vote.kind, i: record.i, leaf: b64(record.leaf) });
	}

	/* ---- decision --------------------------------------------------------------------------------------------- */

	isVetoed(request) {
		const role = this.policy.roles.get('veto');
		return role !== undefined && request.votes.filter((vote) => vote.kind === 'veto').length >= role.least;
	}

	isEnough(request, now) {
		const { policy, verdict } = request;
		const approvals = request.votes.filter((vote) => vote.kind === 'approval');
		if (request.policy !== this.policy || now > request.notAfter || now >= policy.expires || request.used >= request.uses)
			return false;
		if (verdict.answer === 'free')
			return request.state === 'open';
		return request.state === 'offered' && !this.isVetoed(request) &&
			approvals.filter((vote) => vote.independent).length >= verdict.rule.independent &&
			isMet(policy, verdict.rule, approvals.map((vote) => vote.name));
	}

	canBeMet(request) {
		const { policy, verdict } = request;
		const client = policy.clients.find((one) => one.spki === request.body.requester.spki_sha256);
		const out = [...client?.operators ?? [], ...request.votes.filter((vote) => vote.kind === 'rejection').map((vote) => vote.name)];
		return isMet(policy, verdict.rule, policy.people.map((one) => one.name).filter((name) => !out.includes(name)));
	}

	/* The verdict that votes and time make due; null: none. */
	endOf(request, now) {
		if (request.state === 'window')
			return this.isVetoed(request) ? 'vetoed' : request.used >= request.uses ? 'spent' : now > request.until ? 'expired'
				: request.policy !== this.policy ? 'withdrawn' : null;
		if (!request.held || (request.state !== 'offered' && request.state !== 'open'))
			return null;
		if (this.isVetoed(request))
			return 'vetoed';
		if (request.verdict.answer === 'held' && !this.canBeMet(request))
			return 'rejected';
		return now > request.notAfter ? 'expired' : request.policy !== this.policy ? 'withdrawn' : null;
	}

	checkVotes(record, request) {
		for (const [list, kind] of Object.entries(LISTS)) {
			const refs = new Map(request.votes.filter((vote) => vote.kind === kind).map((vote) => [vote.i, vote.leaf]));
			const said = record.body[list];
			need(said.length === refs.size && [...refs].every(([i, leaf], n) => said[n].i === i && said[n].leaf === leaf), 'decision.votes');
		}
	}

	/* The window that a decision names, by index and leaf. */
	windowNamed(record) {
		const ref = get(record.body, 'window');
		const window = ref === undefined ? undefined : this.requests.get(ref.i);
		return window?.window && b64(window.leaf) === ref.leaf ? window : null;
	}

	/* What is refused is not kept, and the same bytes may be, for a later call: then its rule was that of a hash alone. */
	deniedUnseen({ policy, body, material, t }, decision) {
		if (decision.verdict !== 'deny')
			return false;
		const verdict = judgeIntent(policy, body, { norm: material.norm, isData: false, content: null, unknown: null }, t);
		return verdict.contentMissing === true && verdict.rule.name === decision.rule;
	}

	async takeDecision(record) {
		const request = this.requestOf(record);
		const { body } = record;
		const window = this.windowNamed(record);
		need(STARTED.includes(request.state), 'decision.twice');
		if (request.verdict.answer === 'unknown')
			this.assumeRule(request, body.rule);
		request.decision = { i: record.i, leaf: b64(record.leaf), verdict: body.verdict, t: record.t };
		const rule = request.verdict.rule?.name ?? 'none';
		need(body.rule === rule || this.deniedUnseen(request, body), 'decision.rule', { rule });
		need(body.not_after === request.notAfter, 'decision.time');
		need(body.policy.version === this.policy.version && body.policy.sha256 === this.policy.sha256 &&
			Object.keys(body.policy).length === 2, 'decision.policy');
		if (window !== null || !this.needsWindow(request))
			this.checkVotes(record, window ?? request);
		if (body.verdict === 'open' && request.state === 'offered')
			this.openWindow(request, record);
		else if (body.verdict === 'allow')
			this.allow(request, record, window);
		else
			this.end(request, record);
	}

	openWindow(request, record) {
		const enough = request.window && request.held && this.isEnough(request, record.t - GRACE);
		request.state = 'window';
		request.until = record.t + request.verdict.rule.per.seconds * 1000;
		need(enough, 'decision.need');
	}

	allow(request, record, window) {
		const now = record.t - GRACE;
		const { verdict, held } = request;
		const enough = this.isEnough(request, now);
		const wanted = request.used + 1;
		request.state = 'running';
		request.used++;
		need(verdict.answer !== 'refused' || request.awaits, 'decision.refused');
		need(!request.awaits, 'decision.refused');
		if (this.needsWindow(request)) {
			this.useWindow(request, record, window, now);
			need(!held || now <= request.notAfter, 'decision.late');
			need(request.policy === this.policy, 'decision.policy');
			return;
		}
		need(!request.window && get(record.body, 'window') === undefined, 'decision.window');
		need(record.body.use === wanted && wanted <= request.uses, 'decision.use');
		need(!held || enough, 'decision.need');
		need(held || request.policy === this.policy, 'decision.policy');
	}

	/* How often a window was used before only the whole ledger says: its number must be one that there can be. */
	useWindow(request, record, window, now) {
		if (window === null)
			throw new Unknown('unknown.window');
		const { use } = record.body;
		request.windowOf = window;
		need(use >= 1 && use <= window.uses, 'decision.use');
		window.used = use - 1;
		const open = window.state === 'window' && this.endOf(window, now) === null && now < window.policy.expires;
		window.used = use;
		const [mine, its] = [request.body, window.body];
		const names = its.key.spki_sha256 === undefined ? ['class', 'id', 'label', 'kcv', 'token', 'module', 'serial']
			: ['class', 'spki_sha256', 'token', 'module', 'serial'];
		need(mine.requester.spki_sha256 === its.requester.spki_sha256 && window.verdict.rule === request.verdict.rule &&
			names.every((name) => mine.key[name] === its.key[name]), 'decision.window');
		need(open, 'decision.window');
	}

	end(request, record) {
		const { verdict } = record.body;
		const computed = ['rejected', 'vetoed', 'expired'];
		const due = this.endOf(request, record.t);
		request.state = verdict;
		need([...computed, 'deny', 'withdrawn', 'spent'].includes(verdict), 'decision.verdict');
		need(!computed.includes(verdict) || due === verdict, 'decision.end', { verdict, due: due ?? 'open' });
	}

	/* ---- result ----------------------------------------------------------------------------------------------- */

	async takeResult(record) {
		const request = this.requestOf(record);
		const { body } = record;
		need(request.state === 'running' && body.decision.i === request.decision?.i && body.decision.leaf === request.decision.leaf,
			'result.decision');
		request.result = record.i;
		request.rv = body.rv;
		if (body.rv === BUFFER_TOO_SMALL && request.held) {
			request.used--;
			request.state = request.statement === null ? 'open' : 'offered';
		} else {
			request.state = 'done';
		}
		const norm = body.rv === 0 ? normOf(request.body) : null;
		if (norm === null)
			return;
		need(typeof get(body, 'out', 'b64') === 'string', 'result.signature');
		const digests = await verifyResult(request.body, norm, body.out.b64, this.blobs);
		this.signatures++;
		this.note('hsm', 'ok', 'hsm.signature', {}, digests);
	}

	async takeOp(record) {
		if (this.policy === undefined)
			throw new BadPolicy('policy.missing');
		this.op = { i: record.i, leaf: record.leaf, body: record.body, policy: null };
		this.op.policy = await judgeOp(this.policies, record, this.blobs, async (verify) => {
			try {
				const digests = await verify();
				if (digests !== null)
					this.note('hsm', 'ok', 'hsm.signature', {}, digests);
			} catch (error) {
				this.say(error, record, 'hsm');
			}
		});
	}

	/* Who was let in by a quorum was let in by that request. */
	takeSession(record) {
		const request = this.requestOf(record);
		need(request.held && request.result !== null && request.body.op === 'C_Login' && record.body.rv === request.rv, 'result.login');
	}

	/* An operator's instruction, under the policy that it comes under; one that does not count is none for its call. */
	async takeInstruct(record) {
		try {
			need(this.policy !== undefined, 'policy.missing');
			this.instructions.set(record.i, await judgeInstruct(record, this.policy));
		} catch (error) {
			this.instructions.set(record.i, null);
			this.say(error, record, 'instructed');
		}
	}

	/* A call that names an instruction is the one that it wants. */
	takeInstructed(record) {
		const i = instructionOf(record.body);
		if (i === null)
			return;
		const instruction = this.instructions.get(i);
		if (instruction === undefined)
			this.note('instructed', 'unknown', 'instruct.missing', { record: i });
		if (!instruction)
			return;
		const names = differs(instruction, record.body, record.t, this.policy);
		if (names.length > 0)
			this.note('instructed', 'failed', 'instruct.other', { names: names.join(', ') });
		else
			this.instructed = instruction; // the call's own comes after that of its window
	}

	async takeAction(record) {
		if (get(record.body, 'what') === 'withdraw')
			return; // nothing was on a screen
		if (get(record.body, 'what') === 'instruct') {
			await this.takeInstruct(record);
			return;
		}
		const shown = get(record.body, 'shown_sha256');
		need(shown !== undefined && shown === this.shown, 'screen.other', { name: get(record.body, 'actor', 'name') ?? '' });
		if (get(record.body, 'auth', 'note') !== undefined)
			throw new Unknown('unknown.action');
	}
}
