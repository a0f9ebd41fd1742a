import tseslint from 'typescript-eslint'

const outside = (...patterns) => ({
  'no-restricted-imports': [
    'error',
    { patterns: [{ group: patterns, message: 'Drivers and plugins import tsd-engine/sdk and tsd-engine/native by name.' }] },
  ],
})

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'coverage/**', 'build/**', 'core/schema/engine-api.ts'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'all', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true }],
      'no-console': 'off',
      'prefer-const': 'error',
      eqeqeq: 'error',
    },
  },
  // A test hands functions to ava, which waits for them.
  {
    files: ['drivers/**/*.ts', 'plugins/**/*.ts'],
    ignores: ['**/*.test.ts'],
    rules: outside('**/core/**', '**/native/**', '**/drivers/**', '**/plugins/**'),
  },
)
