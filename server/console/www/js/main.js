/* The start: who is here, which page the address names, and the shell around it. */
import { ApiError, get, post, setCsrf } from './api.js';
import { el, fill, newId } from './dom.js';
import { listen, onChange, stopListening } from './live.js';
import { allowed, pages } from './pages.js';
import { applySettings, pickLanguage, settingsMenu } from './settings.js';
import { drawTrust } from './trustview.js';
import { current, t } from './words.js';

const ANNOUNCED_MS = 8000;

const app = {
	session: null,
	main: null,
	status: null,
	strip: null, /* what this browser verified of the ledger, at the side */
	banner: null,
	leaving: null, /* AbortController of the open page: what it began ends with it */
	/* What was to be said at the door; once. */
	takeNotice() {
		const { notice = null } = app;
		app.notice = null;
		return notice;
	},
	/* Said to those who do not see it happen, and shown for a while. */
	announce(text) {
		clearTimeout(app.silence);
		fill(app.status, text);
		app.silence = setTimeout(() => fill(app.status), ANNOUNCED_MS);
	},
	go(hash) {
		if (location.hash === hash)
			open();
		else
			location.hash = hash;
	},
	signedIn(session) {
		app.session = session;
		setCsrf(session.csrf);
		shell();
		app.go(location.hash === '#/signin' || location.hash === '' ? '#/requests' : location.hash);
	},
	/* For errors that a page does not expect: a session that ended leads to the door, all else is said. */
	failed(error, place) {
		if (error instanceof ApiError && error.status === 401 && app.session !== null) {
			app.session = null;
			stopListening();
			shell();
			app.notice = t('app.ended');
			open();
			return;
		}
		if (!(error instanceof ApiError))
			throw error;
		fill(place ?? this.main, el('div', { class: 'problem', role: 'alert' },
			el('p', {}, error.status === 0 ? t('app.unreachable') : error.message),
			el('button', { type: 'button', onclick: open }, t('app.retry'))));
	},
};

async function signOut() {
	await post('sign-out').catch((error) => app.failed(error));
	app.session = null;
	stopListening();
	shell();
	app.go('#/signin');
}

function navigation() {
	return el('nav', { id: 'pages', 'aria-label': t('app.pages') }, el('ul', {},
		Object.entries(pages).filter(([, page]) => page.nav && allowed(page, app.session))
			.map(([name]) => el('li', {}, el('a', { href: `#/${name}`, id: `nav-${name}` }, t(`nav.${name}`))))));
}

function who() {
	if (app.session === null)
		return null;
	const roles = app.session.roles.map((role) => t(`role.${role}`)).join(', ');

	return el('div', { class: 'who' },
		el('span', { class: 'person' }, app.session.name), el('span', { class: 'roles' }, roles),
		el('button', { type: 'button', class: 'plain', onclick: signOut }, t('app.signout')));
}

function menuButton(header) {
	const button = el('button', { type: 'button', class: 'menu plain', 'aria-expanded': 'false', 'aria-controls': 'pages' }, t('app.menu'));

	button.addEventListener('click', () => {
		const isOpen = header.classList.toggle('open');
		button.setAttribute('aria-expanded', String(isOpen));
	});
	return button;
}

/* The ledger's head is looked at when somebody signs in, and whenever the ledger grew. */
function watchLedger(signal) {
	const see = () => drawTrust(app.strip, app.banner).catch((error) => {
		if (!(error instanceof ApiError))
			throw error;
	});

	see();
	onChange(signal, see);
}

let shellEnds = new AbortController();

function shell() {
	const header = el('header', { class: 'side' });
	const id = newId('main');

	document.documentElement.lang = current();
	app.main = el('main', { id, tabindex: '-1' });
	app.status = el('p', { class: 'status', role: 'status' });
	app.strip = el('p', { class: 'strip', id: 'trust-strip' });
	app.banner = el('div', { id: 'trust-banner' });
	shellEnds.abort();
	shellEnds = new AbortController();
	fill(header,
		el('a', { class: 'brand', href: '#/requests' }, el('img', { src: 'icon.svg', alt: '', width: 28, height: 28 }),
			el('span', { class: 'word' }, t('app.name'))),
		menuButton(header),
		el('p', { class: 'origin' }, app.session?.origin ?? ''),
		navigation(), app.strip, who(), settingsMenu(() => {
			shell();
			open();
		}));
	fill(document.body, el('a', { class: 'skip', href: `#${id}`, onclick: (event) => {
		event.preventDefault();
		app.main.focus();
	} }, t('app.skip')), header, el('div', { class: 'page' }, app.banner, app.main), app.status);
	if (app.session !== null) {
		listen();
		watchLedger(shellEnds.signal);
	}
}

/* #/requests/93 -> page `requests`, argument '93'. */
function address() {
	const [, name = '', ...rest] = location.hash.split('/');

	return { name, argument: rest.map(decodeURIComponent).join('/') };
}

function mark(name) {
	for (const link of document.querySelectorAll('#pages a'))
		link.toggleAttribute('aria-current', false);
	document.getElementById(`nav-${name}`)?.setAttribute('aria-current', 'page');
	document.querySelector('header.side').classList.remove('open');
	document.querySelector('button.menu').setAttribute('aria-expanded', 'false');
}

let first = true;

async function open() {
	let { name, argument } = address();

	if (pages[name] === undefined || !allowed(pages[name], app.session))
		[name, argument] = [app.session === null ? 'signin' : 'requests', ''];
	app.leaving?.abort();
	app.leaving = new AbortController();
	const { signal } = app.leaving;
	mark(name);
	/* Each page has a place of its own: what one that was left finds out late is written where nobody reads it. */
	const main = el('main', { id: app.main.id, tabindex: '-1', 'data-ready': 'false' }, el('p', { class: 'quiet' }, t('app.loading')));
	const page = Object.assign(Object.create(app), { main });
	app.main.replaceWith(main);
	app.main = main;
	try {
		await pages[name].open(page, argument, signal);
	} catch (error) {
		if (!signal.aborted)
			page.failed(error);
	}
	if (signal.aborted)
		return;
	document.title = `${app.main.querySelector('h1')?.textContent ?? t('app.name')} · kanmon`;
	/* The heading of a new page takes the focus: a screen reader reads it, the keyboard goes on from there. */
	const heading = app.main.querySelector('h1');
	heading?.setAttribute('tabindex', '-1');
	if (!first)
		heading?.focus({ preventScroll: true });
	first = false;
	app.main.dataset.ready = 'true';
	window.scrollTo(0, 0);
}

async function start() {
	pickLanguage();
	applySettings();
	try {
		app.session = await get('session');
		setCsrf(app.session.csrf);
	} catch (error) {
		if (!(error instanceof ApiError))
			throw error;
	}
	shell();
	window.addEventListener('hashchange', open);
	await open();
}

await start();
