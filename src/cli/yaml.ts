/** The YAML library, in a module of its own: it is CommonJS, which a bundle's `import()` would hand over without its names. */
export { isMap, isScalar, isSeq, parseDocument, stringify } from 'yaml'
