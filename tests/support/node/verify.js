// Verifies a Sigstore bundle with a public key, by Sigstore's own implementation, and says what
// it is about: node verify.js BUNDLE PUBLIC_KEY.
"use strict";

const { createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const NOBODY = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const WITHOUT_LOG = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };

const [bundlePath, keyPath] = process.argv.slice(2);
const publicKey = createPublicKey(readFileSync(keyPath));
const trusted = toTrustMaterial(NOBODY, () => ({ publicKey, validFor: () => true }));

try {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath, "utf8")));
  new Verifier(trusted, WITHOUT_LOG).verify(toSignedEntity(bundle));
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString("utf8"));
  process.stdout.write(JSON.stringify({ accepted: true, statement }));
} catch (error) {
  process.stdout.write(JSON.stringify({ accepted: false, reason: `${error.code} ${error.message}` }));
}
