/* The pages: a row each. `roles` null: for everybody, signed in or not; [] for everybody who is. */
import { openActions } from './pages/actions.js';
import { openCustodians } from './pages/custodians.js';
import { openEnrol } from './pages/enrol.js';
import { openHealth } from './pages/health.js';
import { openKeys } from './pages/keys.js';
import { openOperations } from './pages/operations.js';
import { openPolicy } from './pages/policy.js';
import { openRequests } from './pages/requests.js';
import { openSignIn } from './pages/signin.js';
import { openVerify } from './pages/verify.js';

export const pages = {
	signin: { open: openSignIn, nav: false, roles: null },
	requests: { open: openRequests, nav: true, roles: [] },
	operations: { open: openOperations, nav: true, roles: [] },
	keys: { open: openKeys, nav: true, roles: [] },
	policy: { open: openPolicy, nav: true, roles: [] },
	custodians: { open: openCustodians, nav: true, roles: [] },
	health: { open: openHealth, nav: true, roles: [] },
	actions: { open: openActions, nav: true, roles: ['operator'] },
	verify: { open: openVerify, nav: true, roles: null },
	enrol: { open: openEnrol, nav: false, roles: null },
};

export function allowed(page, session) {
	if (page.roles === null)
		return true;
	return session !== null && (page.roles.length === 0 || page.roles.some((role) => session.roles.includes(role)));
}
