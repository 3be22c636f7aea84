/* The pages: a row each. `roles` null: for everybody, signed in or not; [] for everybody who is. */
import { openRequests } from './pages/requests.js';
import { openSignIn } from './pages/signin.js';

export const pages = {
	signin: { open: openSignIn, nav: false, roles: null },
	requests: { open: openRequests, nav: true, roles: [] },
};

export function allowed(page, session) {
	if (page.roles === null)
		return true;
	return session !== null && (page.roles.length === 0 || page.roles.some((role) => session.roles.includes(role)));
}
