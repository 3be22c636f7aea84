/* Approve, reject, veto: one dialog, and a security key that signs the text on the screen. */
import { post } from '../api.js';
import { el, fill, newId } from '../dom.js';
import { relyingPartyOf } from '../policy.js';
import { turned, valueOf } from '../statement.js';
import { asValue } from '../value.js';
import { available, signText } from '../webauthn.js';
import { t } from '../words.js';
import { keyProblem } from './signin.js';

const REASON_MAX_BYTES = 1024;

/* The text that this decision signs, or what is wrong with the reason. */
function textOf(page, decision, typed) {
	if (decision === 'approve')
		return { text: page.text };
	const reason = asValue(typed);

	if (reason === '')
		return { wrong: t('vote.reason.needed') };
	if (new TextEncoder().encode(reason).length > REASON_MAX_BYTES)
		return { wrong: t('vote.reason.long') };
	return { text: turned(page.text, decision, reason) };
}

function reasonField(id, wrongId) {
	return [el('label', { for: id }, t('vote.reason')),
		el('textarea', { id, rows: 3, required: true, maxlength: REASON_MAX_BYTES, 'aria-describedby': wrongId })];
}

class VoteDialog {
	constructor(page, decision) {
		const titleId = newId('vote'), reasonId = newId('reason'), wrongId = newId('wrong');

		this.page = page;
		this.decision = decision;
		this.place = el('div', { id: wrongId, class: 'answer', 'aria-live': 'polite' });
		this.sign = el('button', { type: 'submit', class: `primary ${decision}` }, t('vote.sign'));
		this.reason = decision === 'approve' ? null : reasonField(reasonId, wrongId);
		this.node = el('dialog', { 'aria-labelledby': titleId },
			el('form', { method: 'dialog', novalidate: true, onsubmit: (event) => {
				event.preventDefault();
				this.submit().catch((error) => this.fail(error));
			} },
			el('h2', { id: titleId }, t(`vote.title.${decision}`, page.id)),
			el('p', { class: 'code small' }, page.code),
			el('p', {}, t(`vote.${decision}.how`, page.statement.lines.length + 1)),
			valueOf(page.statement, 'per') === null ? null : el('p', { class: 'caution' }, t('vote.window.how')),
			valueOf(page.statement, 'activation-key') === null ? null : el('p', { class: 'caution' }, t('vote.shares')),
			this.reason, this.place,
			el('div', { class: 'buttons' }, this.sign,
				el('button', { type: 'button', class: 'plain', onclick: () => this.node.close() }, t('app.cancel')))));
		this.node.addEventListener('close', () => this.node.remove());
	}

	open() {
		document.body.append(this.node);
		this.node.showModal();
	}

	fail(error) {
		this.sign.disabled = false;
		fill(this.place, el('p', { class: 'problem', role: 'alert' }, keyProblem(error)));
	}

	async submit() {
		const { page, decision } = this;
		const { text, wrong } = textOf(page, decision, this.reason === null ? '' : this.reason[1].value);

		if (wrong !== undefined) {
			fill(this.place, el('p', { class: 'problem', role: 'alert' }, wrong));
			this.reason[1].focus();
			return;
		}
		this.sign.disabled = true;
		fill(this.place, el('p', { class: 'waiting' }, t('vote.waiting')));
		const assertion = await signText(text, relyingPartyOf(page.policy, location));
		const answer = await post('notes', { text, assertion });

		this.node.close();
		await page.changed();
		page.said(answer.check);
	}
}

export function voteButtons(page, ways, failed) {
	const buttons = [];
	const button = (decision) => el('button', {
		type: 'button', id: `do-${decision}`, class: decision === 'approve' ? 'primary' : decision, disabled: failed || !available(),
		onclick: () => new VoteDialog(page, decision).open(),
	}, t(`request.${decision}`));

	if (ways.vote)
		buttons.push(button('approve'), button('reject'));
	if (ways.veto)
		buttons.push(button('veto'));
	return buttons.length === 0 ? null : el('div', { class: 'buttons' }, buttons,
		available() ? null : el('p', { class: 'quiet' }, t('signin.no_key')));
}
