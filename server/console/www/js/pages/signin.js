/* The door. A security key says who it is; the policy says what that person may do. */
import { ApiError, post } from '../api.js';
import { el, fill } from '../dom.js';
import { readStatement, showStatement } from '../statement.js';
import { available, signText } from '../webauthn.js';
import { t } from '../words.js';

/* What a failure of the browser's own dialog means in words; an ApiError speaks for itself. */
export function keyProblem(error) {
	if (error instanceof ApiError)
		return error.status === 0 ? t('app.unreachable') : error.message;
	if (error instanceof DOMException)
		return error.name === 'NotAllowedError' ? t('key.cancelled') : `${t('key.cancelled')} (${error.name})`;
	throw error;
}

async function withKey(app, place) {
	const begun = await post('sign-in/begin');
	const statement = readStatement(begun.text);

	fill(place, el('p', { class: 'waiting', role: 'status' }, t('signin.waiting')),
		statement === null ? null : el('details', {}, el('summary', {}, t('signin.text')), showStatement(statement, t('signin.text'))));
	const assertion = await signText(begun.text, begun.rp_id);
	app.signedIn(await post('sign-in', { text: begun.text, assertion }));
}

function method(title, how, action, place, disabled) {
	const button = el('button', { type: 'button', class: 'primary', disabled }, title);

	button.addEventListener('click', async () => {
		button.disabled = true;
		try {
			await action();
		} catch (error) {
			fill(place, el('p', { class: 'problem', role: 'alert' }, keyProblem(error)));
		}
		button.disabled = false;
	});
	return el('div', { class: 'method' }, button, el('p', { class: 'quiet' }, how));
}

export async function openSignIn(app) {
	const place = el('div', { class: 'answer' });
	const notice = app.takeNotice();

	fill(app.main, el('div', { class: 'door' },
		el('h1', {}, t('signin.title')),
		el('p', { class: 'lead' }, t('app.tagline')),
		notice === null ? null : el('p', { class: 'problem', role: 'alert' }, notice),
		method(t('signin.key'), available() ? t('signin.key.how') : t('signin.no_key'), () => withKey(app, place), place, !available()),
		method(t('signin.certificate'), t('signin.certificate.how'),
			async () => app.signedIn(await post('sign-in/certificate')), place, false),
		place,
		el('nav', { 'aria-label': t('signin.without'), class: 'method' }, el('h2', {}, t('signin.without')),
			el('ul', {}, el('li', {}, el('a', { href: '#/verify' }, t('signin.verify'))), el('li', {}, el('a', { href: '#/enrol' }, t('signin.enrol')))))));
}
