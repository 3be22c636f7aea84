# The policy of the tests that need one of their own: sourced. What comes on standard input is the rules, and lines beside.

policy_with() {
	cat <<'EOF'
kanmon/policy/v1
origin @ORIGIN@
version 1
previous none
not-before @NOT_BEFORE@
expires @EXPIRES@

@ROSTER@
token @TOKEN@

group root-keepers 2 sato suzuki tanaka
role policy 3 sato suzuki tanaka
role veto 1 tanaka

EOF
	cat
}
