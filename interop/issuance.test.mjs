// Somebody else's wallet gets credentials from Hufu's issuer, in every combination of what wallets differ in.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { adult, network } from './hufu.mjs'
import { receive, verifyMdoc, verifySdJwt } from './wallet.mjs'

const vct = 'urn:hufu:type:resident-id:1'

for (const [name, type, format] of [
  ['SD-JWT VC, issuer by DID', 'resident-id', 'dc+sd-jwt'],
  ['SD-JWT VC, issuer by certificate', 'resident-id_sd-jwt_x5c', 'dc+sd-jwt'],
  ['mdoc', 'resident-id', 'mso_mdoc'],
]) {
  describe(name, () => {
    for (const grant of ['pre', 'pre with transaction code', 'code']) {
      for (const dpop of [true, false]) {
        for (const batch of [1, 5]) {
          test(`${grant}, ${dpop ? 'DPoP' : 'Bearer'}, ${batch === 1 ? 'one copy' : `${batch} copies`}`, async () => {
            const { credentials } = await receive({ person: adult, grant, dpop, batch, type, format })
            const seen = new Set()
            for (const { encoded, key } of credentials) {
              let status
              if (format === 'mso_mdoc') {
                const { mso, elements } = await verifyMdoc(encoded, key)
                assert.equal(mso.docType, vct)
                assert.equal(elements.name, adult.name)
                status = mso.status?.status_list ?? mso.decodedStructure?.get?.('status')?.get?.('status_list')
              } else {
                const payload = await verifySdJwt(encoded, key)
                assert.equal(payload.vct, vct)
                assert.equal(payload.iss, network.dids.agency)
                assert.equal(payload.name, adult.name)
                assert.equal(payload.age_equal_or_over['18'], true)
                status = payload.status.status_list
                seen.add(status.idx)
              }
            }
            if (format !== 'mso_mdoc') assert.equal(seen.size, batch, 'each copy has a status entry of its own')
          })
        }
      }
    }
  })
}
