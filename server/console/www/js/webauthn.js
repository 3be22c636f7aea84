/*
 * The security key. It signs SHA-256("kanmon/webauthn/v1" LF text): the hash is made here, from the text that the page
 * shows, and not taken from the gateway.
 */
import { b64url, sha256 } from './bytes.js';

export const challengeOf = (text) => sha256(`kanmon/webauthn/v1\n${text}`);
export const available = () => window.PublicKeyCredential !== undefined && window.isSecureContext;

/* {authenticatorData, clientDataJSON, signature}, base64url. Rejects with the browser's own error. */
export async function signText(text, rpId) {
	const credential = await navigator.credentials.get({
		publicKey: {
			challenge: await challengeOf(text),
			rpId,
			userVerification: 'required',
			timeout: 120000,
		},
	});
	const { authenticatorData, clientDataJSON, signature } = credential.response;

	return {
		authenticatorData: b64url(authenticatorData),
		clientDataJSON: b64url(clientDataJSON),
		signature: b64url(signature),
	};
}

/*
 * A new credential that lives in the key. The registration is what `kanmon custodian new --webauthn FILE` reads: it
 * proves nothing to a server, the policy that people sign does.
 */
export async function enrol(name, rpId) {
	const credential = await navigator.credentials.create({
		publicKey: {
			challenge: crypto.getRandomValues(new Uint8Array(32)),
			rp: { id: rpId, name: 'kanmon' },
			user: { id: crypto.getRandomValues(new Uint8Array(16)), name, displayName: name },
			pubKeyCredParams: [{ type: 'public-key', alg: -7 }, { type: 'public-key', alg: -8 }],
			authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
			attestation: 'none',
			timeout: 120000,
		},
	});
	return `${JSON.stringify(registrationOf(credential), null, 1)}\n`;
}

/* As PublicKeyCredential.toJSON() writes it; browsers before 2025 have no such function. */
function registrationOf(credential) {
	if (typeof credential.toJSON === 'function')
		return credential.toJSON();
	const response = credential.response;
	return {
		id: credential.id,
		rawId: b64url(credential.rawId),
		type: credential.type,
		authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
		clientExtensionResults: {},
		response: {
			clientDataJSON: b64url(response.clientDataJSON),
			attestationObject: b64url(response.attestationObject),
			authenticatorData: b64url(response.getAuthenticatorData()),
			publicKey: b64url(response.getPublicKey()),
			publicKeyAlgorithm: response.getPublicKeyAlgorithm(),
			transports: response.getTransports(),
		},
	};
}
