// Hufu's own wallet, by its commands.
import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { network } from './hufu.mjs'

/** A command of a wallet, which runs beside the issuer or verifier in this process. onLine gets the address to sign in at. */
export function wallet(home, args, onLine) {
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

/** Takes up an issuer's offer with a new wallet. */
export async function accept(issuer, { txCode, foreign = true, copies = 3, browse } = {}) {
  const home = join(mkdtempSync(join(network.dir, 'wallet-')), 'home')
  return { home, ...await wallet(home, ['accept', issuer.offer, '--genesis', join(network.home, 'genesis.json'), '--node', network.node, '--copies', String(copies),
    ...(foreign ? ['--foreign'] : []), ...(txCode ? ['--tx-code', txCode] : [])], browse) }
}
