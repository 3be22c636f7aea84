/*
 * Enrolling a security key: the browser has the key make a credential, and gives a file. Nothing goes to the gateway:
 * what makes the key somebody's is the next version of the policy, which people sign.
 */
import { el, fill, save } from '../dom.js';
import { available, enrol } from '../webauthn.js';
import { t } from '../words.js';
import { keyProblem } from './signin.js';

const fieldName = /^[A-Za-z0-9._-]{1,64}$/;

function steps(name, file) {
	const command = `kanmon custodian new ${name} --person ID --out DIR --webauthn ${file} --origin ${location.origin} --rp-id ${location.hostname}`;

	return el('div', { class: 'good-card card' }, el('h2', {}, t('enrol.next')),
		el('ol', { class: 'steps' },
			el('li', {}, t('enrol.saved', file)),
			el('li', {}, t('enrol.command'), el('pre', { class: 'rule wraps', tabindex: '0' }, command)),
			el('li', {}, t('enrol.policy'))));
}

export async function openEnrol(app) {
	const name = el('input', { id: 'enrol-name', autocomplete: 'off', required: true, maxlength: 64, 'aria-describedby': 'enrol-wrong' });
	const place = el('div', { id: 'enrol-wrong', class: 'answer', 'aria-live': 'polite' });

	async function make() {
		if (!fieldName.test(name.value)) {
			fill(place, el('p', { class: 'problem', role: 'alert' }, t('enrol.name.wrong')));
			name.focus();
			return;
		}
		fill(place, el('p', { class: 'waiting' }, t('vote.waiting')));
		const registration = await enrol(name.value, location.hostname);
		const file = `${name.value}.registration.json`;
		save(file, 'application/json', registration);
		fill(place, steps(name.value, file));
		app.announce(t('enrol.saved', file));
	}
	fill(app.main, el('div', { class: 'door' }, el('h1', {}, t('enrol.title')), el('p', { class: 'lead' }, t('enrol.lead')),
		el('form', { class: 'stack', novalidate: true, onsubmit: (event) => {
			event.preventDefault();
			make().catch((error) => fill(place, el('p', { class: 'problem', role: 'alert' }, keyProblem(error))));
		} },
		el('div', {}, el('label', { for: 'enrol-name' }, t('enrol.name')), name),
		el('p', { class: 'quiet' }, available() ? t('enrol.how') : t('signin.no_key')),
		el('div', { class: 'buttons' }, el('button', { type: 'submit', class: 'primary', disabled: !available() }, t('enrol.make')))), place));
}
