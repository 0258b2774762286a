import { defineConfig, type Plugin } from 'vite';

/** The dev server answers every page at any depth from one index.html, whose base must then be the root. */
const rootBaseInDev: Plugin = {
  name: 'root-base-in-dev',
  apply: 'serve',
  transformIndexHtml: (html) => html.replace('<base href="./"', '<base href="/"'),
};

export default defineConfig({
  base: './', // every address is relative, so that the UI works under a sub-path of a proxy
  plugins: [rootBaseInDev],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy allows files of our own, not data: scripts or styles
    modulePreload: { polyfill: false },
    license: { fileName: 'licenses.md' },
    reportCompressedSize: false,
  },
  server: {
    port: 9080,
    proxy: { '/graphql': { target: 'http://127.0.0.1:8080', ws: true }, '/api': 'http://127.0.0.1:8080' },
  },
});
