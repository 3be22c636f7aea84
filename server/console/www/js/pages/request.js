/* One request: the statement as it is signed, what it decodes to, who decides, and the decision. */
import { get, post } from '../api.js';
import { askedBy, askedCard } from '../asked.js';
import { b64, displayCode, sha256 } from '../bytes.js';
import { contentCard } from '../content.js';
import { checksOf } from '../checks.js';
import { el, fill } from '../dom.js';
import { onChange } from '../live.js';
import { isIndependent, needsOf, noteText, operatorsOf, readPolicy, roleOf, ruleOf } from '../policy.js';
import { displayedText, readStatement, showStatement, summaryOf, valueOf } from '../statement.js';
import { countdown, instant } from '../time.js';
import { verdictMark } from '../verdict.js';
import { t } from '../words.js';
import { stateWord } from './requests.js';
import { voteButtons } from './vote.js';

const openStates = new Set(['open', 'approved', 'waits for its content']);

/* ---- who decides ---------------------------------------------------------------------------------------------- */

function personRow(name, request, operators) {
	const how = request.have.includes(name) ? 'approved_by'
		: request.rejected_by.includes(name) ? 'rejected_by' : operators.includes(name) ? 'operates' : 'may';
	const glyph = { approved_by: '✓', rejected_by: '✕', operates: '–', may: '·' }[how];

	return el('li', { class: `vote ${how}` }, el('span', { class: 'glyph', 'aria-hidden': 'true' }, glyph),
		el('span', { class: 'person' }, name), el('span', { class: 'under' }, t(`request.${how}`)));
}

function whoDecides(request, statement, policy) {
	const rule = statement === null ? request.rule : valueOf(statement, 'rule');
	const operators = operatorsOf(policy, request.client);
	const independent = Number(valueOf(statement, 'independent') ?? 0);

	return el('section', { class: 'card', 'aria-labelledby': 'who' }, el('h2', { id: 'who' }, t('request.who')),
		needsOf(policy, ruleOf(policy, rule)).map((need) => [
			el('h3', {}, t('request.group', need.group, need.least, need.persons.length)),
			el('ul', { class: 'people' }, need.persons.map((name) => personRow(name, request, operators))),
		]),
		independent > 0 ? el('p', { class: 'quiet' }, t('request.independent', independent)) : null,
		independent > 0 && !isIndependent(policy, location) ? el('p', { class: 'caution', id: 'not-independent' }, t('request.not_independent')) : null);
}

/* ---- the rule ------------------------------------------------------------------------------------------------- */

function theRule(request, statement, policy) {
	const name = statement === null ? request.rule : valueOf(statement, 'rule');
	const rule = ruleOf(policy, name);

	return el('section', { class: 'card', 'aria-labelledby': 'rule' },
		el('h2', { id: 'rule' }, t('request.rule')),
		el('pre', { class: 'rule', tabindex: '0', 'aria-labelledby': 'rule' },
			[`rule ${name}`, ...(rule?.lines.map((line) => `  ${line.text}`) ?? [])].join('\n')),
		el('p', { class: 'quiet' }, t('request.rule.of', policy.head.version ?? '?')));
}

/* ---- checks --------------------------------------------------------------------------------------------------- */

function checkList(rows) {
	return el('ul', { class: 'checks' }, rows.map((row) => el('li', {}, verdictMark(row.verdict), el('span', {}, row.words))));
}

/* Reports what the screen shows, taken from the screen; the gateway says whether that is the recorded statement. */
async function reportShown(request, list, checks) {
	const shown = await sha256(displayedText(list));
	const answer = await post(`requests/${request.id}/shown`, { sha256: b64(shown) });

	return [...checks, {
		verdict: answer.agrees === false ? 'failed' : 'ok',
		words: t(answer.agrees === false ? 'check.shown.differs' : 'check.shown'),
	}];
}

/* ---- the page ------------------------------------------------------------------------------------------------- */

function codeCard(code, request) {
	return el('section', { class: 'card code-card', 'aria-labelledby': 'code' },
		el('h2', { id: 'code' }, t('request.code')),
		el('p', { class: 'code', id: 'display-code' }, code.split('-').map((group, i) => el('span', {}, i < 5 ? `${group}-` : group))),
		el('p', { class: 'quiet' }, t('request.code.how', `kanmon approve ${request.id}`)));
}

function statementSection(request, list, statement) {
	return el('section', { class: 'card paper', 'aria-labelledby': 'statement' },
		el('h2', { id: 'statement' }, t('request.statement')),
		el('p', { class: 'quiet' }, t('request.statement.how')),
		list, el('p', { class: 'quiet count' }, `${statement.lines.length + 1}`));
}

function heading(request, statement, ends) {
	return el('div', { class: 'head' },
		el('div', {}, el('a', { class: 'back', href: '#/requests' }, '← ', t('request.back')),
			el('h1', {}, t('requests.number', request.id)),
			el('p', { class: 'lead' }, statement === null ? request.op : summaryOf(statement))),
		el('div', { class: 'when' }, el('p', { class: `state state-${request.state.replaceAll(' ', '-')}` }, stateWord(request.state)),
			openStates.has(request.state) ? countdown(ends) : null,
			request.result === undefined ? null
				: el('p', {}, `${request.rv} `, el('a', { href: `#/operations/${request.result}` }, t('request.operation')))));
}

class RequestPage {
	constructor(app, id, signal) {
		Object.assign(this, { app, id, signal, text: null, checks: [], outcome: null });
		this.decide = el('section', { class: 'card decide', 'aria-labelledby': 'decide' });
		this.checkPlace = el('div', {});
		this.over = false;
	}

	async read() {
		this.answer = await get(`requests/${this.id}`);
		this.request = this.answer.request;
		this.statement = readStatement(this.answer.statement ?? null);
		this.policy = readPolicy(noteText(this.answer.policy));
	}

	/* May this person vote, and how? */
	ways() {
		const { session } = this.app;
		const { request, policy, statement } = this;

		if (!openStates.has(request.state) || statement === null || this.over)
			return { none: this.over ? t('request.expired_now', this.id) : t('request.over', stateWord(request.state)) };
		const voted = request.have.includes(session.name) || request.rejected_by.includes(session.name);
		const inGroup = needsOf(policy, ruleOf(policy, valueOf(statement, 'rule'))).some((need) => need.persons.includes(session.name));
		const operates = operatorsOf(policy, request.client).includes(session.name);
		const veto = roleOf(policy, 'veto')?.persons.includes(session.name) ?? false;

		return {
			vote: inGroup && !voted && !operates, veto,
			none: voted ? t('request.voted') : inGroup && !operates ? null : t('request.no_vote'),
		};
	}

	/* When it ends: as the statement says, which is what is signed; without one, as the gateway says. */
	ends() {
		return this.statement === null ? this.request.expires : instant(valueOf(this.statement, 'not-after'));
	}

	drawDecision() {
		const failed = this.checks.some((check) => check.verdict === 'failed');
		const ways = this.ways();
		const left = openStates.has(this.request.state) && !this.over
			? el('p', { class: 'clock' }, el('span', { class: 'under' }, t('requests.left')), countdown(this.ends(), () => this.expired()))
			: null;

		fill(this.decide, el('h2', { id: 'decide' }, t('requests.votes')), left,
			failed ? el('p', { class: 'problem', role: 'alert' }, t('request.blocked')) : null,
			this.statement === null && openStates.has(this.request.state) ? el('p', {}, t('request.no_statement')) : null,
			this.outcome === null ? null : el('p', { class: this.outcome === 'ok' ? 'good' : 'problem', id: 'outcome' },
				this.outcome === 'ok' ? t('vote.counts') : t('vote.does_not_count', this.outcome)),
			ways.none ? el('p', { class: 'quiet', id: 'no-vote' }, ways.none) : null,
			this.statement === null ? null : voteButtons(this, ways, failed));
	}

	/* What became of this person's vote: it stays on the page. */
	said(check) {
		this.outcome = check;
		this.drawDecision();
		this.app.announce(check === 'ok' ? t('vote.counts') : t('vote.does_not_count', check));
	}

	expired() {
		if (this.over || this.signal.aborted)
			return;
		this.over = true;
		this.app.announce(t('request.expired_now', this.id));
		document.querySelector('dialog[open]')?.close();
		this.drawDecision();
	}

	async draw() {
		const { request, statement, policy, app } = this;
		const list = statement === null ? null : showStatement(statement, t('request.statement.label', request.id, statement.lines.length + 1));

		this.text = this.answer.statement ?? null;
		this.code = statement === null ? null : await displayCode(this.text);
		const asked = await askedBy(this.answer);
		this.checks = [...await checksOf(this.answer, statement), ...(asked === null ? [] : [asked.check])];
		fill(app.main, heading(request, statement, this.ends()), el('div', { class: 'split' },
			el('div', { class: 'wide' }, statement === null ? null : contentCard(statement, Date.now(), 'content'),
				statement === null ? null : statementSection(request, list, statement), askedCard(asked)),
			el('div', { class: 'narrow' }, this.decide, statement === null ? null : codeCard(this.code, request),
				whoDecides(request, statement, policy),
				el('section', { class: 'card', 'aria-labelledby': 'checks' }, el('h2', { id: 'checks' }, t('request.checks')), this.checkPlace),
				theRule(request, statement, policy))));
		fill(this.checkPlace, checkList(this.checks));
		this.drawDecision();
		if (list !== null && openStates.has(request.state)) {
			this.checks = await reportShown(request, list, this.checks);
			fill(this.checkPlace, checkList(this.checks));
			this.drawDecision();
		}
	}

	/* Something changed: the decision and the people are drawn again; the statement only if its bytes are others. */
	async changed() {
		const before = JSON.stringify([this.request, this.text]);

		await this.read();
		if (this.signal.aborted || JSON.stringify([this.request, this.answer.statement ?? null]) === before)
			return;
		/* By the gateway's clock, which may be ahead of this browser's. */
		if (this.request.state === 'expired') {
			await this.draw();
			this.expired();
			return;
		}
		if (document.querySelector('dialog[open]') !== null) {
			this.drawDecision();
			return;
		}
		await this.draw();
		this.app.announce(t('requests.changed', this.id, stateWord(this.request.state)));
	}
}

export async function openRequest(app, id, signal) {
	const page = new RequestPage(app, id, signal);

	await page.read();
	await page.draw();
	onChange(signal, () => page.changed().catch((error) => app.failed(error, page.checkPlace)));
}
