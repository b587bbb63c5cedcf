// What the tests know of the network that run.mjs started, and its commands.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'

export const network = JSON.parse(readFileSync(process.env.HUFU_INTEROP, 'utf8'))

const exec = promisify(execFile)

/** Runs a command of hufu and returns its JSON. */
export async function hufu(...args) {
  const { stdout } = await exec(network.hufu, [...args, '--json'], { encoding: 'utf8' })
  return JSON.parse(stdout)
}

const age = (birthdate) => (Date.now() - Date.parse(birthdate)) / (365.25 * 24 * 3600 * 1000)

/** Somebody whom the reading room lets in, and somebody whom it does not. */
export const adult = network.people.find((p) => age(p.birthdate) > 19)
export const child = network.people.find((p) => age(p.birthdate) < 17)

/** The DID document of an identifier, as the network's resolver has it. */
export async function resolveDid(did) {
  const r = await fetch(`${network.url}/1.0/identifiers/${did}`, { headers: { Accept: 'application/did+ld+json, application/did' } })
  const body = await r.json()
  return body.didDocument ?? body
}
