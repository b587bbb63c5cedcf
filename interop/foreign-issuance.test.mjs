// Hufu's wallet gets credentials from somebody else's issuer.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startIssuer, membership } from './foreign-issuer.mjs'
import { network } from './hufu.mjs'

let made = 0

/** A command of a new wallet, which runs beside the issuer in this process. */
function wallet(home, args, onLine) {
  return new Promise((done) => {
    const p = spawn(network.hufu, ['wallet', ...args, '--json', '--home', home, '--key-file', join(network.dir, 'wallet.key')], { stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, err] = ['', '']
    p.stdout.on('data', (d) => { out += d })
    p.stderr.on('data', (d) => {
      err += d
      const address = onLine && /^\s+(http\S+)$/m.exec(err)?.[1]
      if (address) { onLine(address); onLine = undefined }
    })
    p.on('exit', (status) => done({ status, err, result: status === 0 ? JSON.parse(out) : undefined }))
  })
}

async function accept(issuer, { txCode, foreign = true, browse } = {}) {
  const home = join(network.dir, `wallet-${++made}`)
  return { home, ...await wallet(home, ['accept', issuer.offer, '--genesis', join(network.home, 'genesis.json'), '--node', network.node, '--copies', '3',
    ...(foreign ? ['--foreign'] : []), ...(txCode ? ['--tx-code', txCode] : [])], browse) }
}

for (const [format, name] of [['dc+sd-jwt', 'SD-JWT VC'], ['mso_mdoc', 'mdoc']]) {
  describe(`Hufu's wallet, ${name} of an issuer unknown to the ledger`, () => {
    for (const dpop of [true, false]) {
      for (const [grant, txCode] of [['pre', undefined], ['pre', '4711'], ['code', undefined]]) {
        test(`${grant}${txCode ? ' with transaction code' : ''}, ${dpop ? 'DPoP' : 'Bearer'}`, async () => {
          const issuer = await startIssuer({ dpop, format, txCode, grant })
          try {
            // The person's browser follows where the issuer sends it.
            const browse = grant === 'code' ? (address) => fetch(address) : undefined
            const got = await accept(issuer, { txCode, browse })
            assert.equal(got.status, 0, got.err + issuer.failures.map((f) => f.stack).join('\n'))
            assert.equal(got.result.accepted, 3)
            assert.equal(issuer.state.issued, 3)
            assert.deepEqual(issuer.failures, [])
            const { result: [stock] } = await wallet(got.home, ['list'])
            assert.equal(stock.type, membership)
          } finally {
            await issuer.stop()
          }
        })
      }
    }

    test('not unless the person says so', async () => {
      const issuer = await startIssuer({ dpop: true, format })
      try {
        const got = await accept(issuer, { foreign: false })
        assert.equal(got.status, 1)
        assert.match(got.err, /wallet\./)
      } finally {
        await issuer.stop()
      }
    })
  })
}
