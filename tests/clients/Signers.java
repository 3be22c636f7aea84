/*
 * Java threads on one SunPKCS11 provider: each signs and decrypts, the JDK's own providers check.
 *
 *	java Signers.java CONFIG PIN-FILE THREADS ROUNDS ALIAS...
 */
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.Cipher;

public class Signers {
	private static final Provider JDK_RSA = Security.getProvider("SunRsaSign");
	private static final Provider JDK_EC = Security.getProvider("SunEC");
	private static final Provider JDK_CIPHER = Security.getProvider("SunJCE");

	private static int signs(Provider hsm, PrivateKey key, PublicKey known, String algorithm, byte[] data) throws Exception {
		Signature signer = Signature.getInstance(algorithm, hsm);
		Signature verifier = Signature.getInstance(algorithm, key.getAlgorithm().equals("EC") ? JDK_EC : JDK_RSA);

		signer.initSign(key);
		signer.update(data);
		byte[] signature = signer.sign();
		verifier.initVerify(known);
		verifier.update(data);
		if (!verifier.verify(signature))
			throw new IllegalStateException(algorithm + ": does not verify");
		return 1;
	}

	private static int decrypts(Provider hsm, PrivateKey key, PublicKey known, byte[] data) throws Exception {
		Cipher to = Cipher.getInstance("RSA/ECB/PKCS1Padding", JDK_CIPHER);
		Cipher from = Cipher.getInstance("RSA/ECB/PKCS1Padding", hsm);

		to.init(Cipher.ENCRYPT_MODE, known);
		from.init(Cipher.DECRYPT_MODE, key);
		if (!Arrays.equals(from.doFinal(to.doFinal(data)), data))
			throw new IllegalStateException("decrypted to something else");
		return 1;
	}

	private static int works(Provider hsm, KeyStore store, String[] aliases, int thread, int rounds) throws Exception {
		int done = 0;

		for (int round = 0; round < rounds; round++) {
			String alias = aliases[(thread + round) % aliases.length];
			PrivateKey key = (PrivateKey)store.getKey(alias, null);
			/* Out of its token: or the JDK would ask the token to verify. */
			PublicKey known = java.security.KeyFactory.getInstance(key.getAlgorithm(), key.getAlgorithm().equals("EC") ? JDK_EC : JDK_RSA)
				.generatePublic(new java.security.spec.X509EncodedKeySpec(store.getCertificate(alias).getPublicKey().getEncoded()));
			byte[] data = ("thread " + thread + " round " + round).getBytes();

			if (key.getAlgorithm().equals("EC")) {
				done += signs(hsm, key, known, "SHA256withECDSA", data);
				done += signs(hsm, key, known, "SHA384withECDSA", data);
			} else {
				done += signs(hsm, key, known, "SHA256withRSA", data);
				done += signs(hsm, key, known, "SHA512withRSA", data);
				done += decrypts(hsm, key, known, data);
			}
		}
		return done;
	}

	public static void main(String[] args) throws Exception {
		Provider hsm = Security.getProvider("SunPKCS11").configure(args[0]);
		char[] pin = Files.readString(Path.of(args[1])).toCharArray();
		int threads = Integer.parseInt(args[2]), rounds = Integer.parseInt(args[3]);
		String[] aliases = Arrays.copyOfRange(args, 4, args.length);
		KeyStore store = KeyStore.getInstance("PKCS11", hsm);
		ExecutorService pool = Executors.newFixedThreadPool(threads);
		List<Future<Integer>> each = new ArrayList<>();
		int done = 0;

		store.load(null, pin);
		for (int i = 0; i < threads; i++) {
			int thread = i;
			each.add(pool.submit(() -> works(hsm, store, aliases, thread, rounds)));
		}
		for (Future<Integer> one : each)
			done += one.get();
		pool.shutdown();
		System.out.println(threads + " threads, " + done + " operations");
	}
}
