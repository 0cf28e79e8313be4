// Says in one line what is wrong when Node is too old to run TypeScript. Plain JavaScript that Node 18 can parse.
const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(
    `logferry needs Node 24 or newer and this is ${process.version}. "npm ci" brings Node 26 along; if it skipped the install ` +
      'script of the package "node", run "npm install-scripts approve node && npm ci" (or "npm rebuild node").',
  )
  process.exit(1)
}
