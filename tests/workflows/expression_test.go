package workflows

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"github.com/stretchr/testify/require"
)

// contexts are what expressions read, by lower-case names: a context's values are text, or contexts again.
type contexts map[string]any

// status is how the job, or the jobs before it, went so far.
type status struct{ failed bool }

// evaluate gives an expression's value: nil, bool, float64 or string. What the workflows do not use is an error.
func evaluate(expression string, in contexts, now status) (any, error) {
	node, err := actionlint.NewExprParser().Parse(actionlint.NewExprLexer(expression + "}}"))
	if err != nil {
		return nil, fmt.Errorf("parse expression %q: %s", expression, err.Message)
	}
	return value(node, in, now)
}

func value(node actionlint.ExprNode, in contexts, now status) (any, error) {
	switch n := node.(type) {
	case *actionlint.NullNode:
		return nil, nil
	case *actionlint.BoolNode:
		return n.Value, nil
	case *actionlint.IntNode:
		return float64(n.Value), nil
	case *actionlint.StringNode:
		return n.Value, nil
	case *actionlint.VariableNode:
		context, ok := in[strings.ToLower(n.Name)]
		if !ok {
			return nil, fmt.Errorf("there is no context %s here", n.Name)
		}
		return context, nil
	case *actionlint.ObjectDerefNode:
		from, err := value(n.Receiver, in, now)
		if err != nil {
			return nil, err
		}
		if inner, ok := from.(contexts); ok {
			return inner[strings.ToLower(n.Property)], nil
		}
		return nil, nil
	case *actionlint.NotOpNode:
		v, err := value(n.Operand, in, now)
		return !truthy(v), err
	case *actionlint.LogicalOpNode:
		left, err := value(n.Left, in, now)
		if err != nil || truthy(left) == (n.Kind == actionlint.LogicalOpNodeKindOr) {
			return left, err
		}
		return value(n.Right, in, now)
	case *actionlint.CompareOpNode:
		left, err := value(n.Left, in, now)
		if err != nil {
			return nil, err
		}
		right, err := value(n.Right, in, now)
		same := strings.EqualFold(text(left), text(right))
		switch n.Kind {
		case actionlint.CompareOpNodeKindEq:
			return same, err
		case actionlint.CompareOpNodeKindNotEq:
			return !same, err
		}
	case *actionlint.FuncCallNode:
		switch strings.ToLower(n.Callee) {
		case "always":
			return true, nil
		case "failure":
			return now.failed, nil
		case "success":
			return !now.failed, nil
		case "cancelled":
			return false, nil
		case "hashfiles":
			return "<hash>", nil
		}
		return nil, fmt.Errorf("the function %s is not done here", n.Callee)
	}
	return nil, fmt.Errorf("%T is not done here", node)
}

func truthy(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	}
	return v != nil
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

var placeholder = regexp.MustCompile(`\$\{\{(.*?)\}\}`)

// fill replaces the expressions in a text.
func fill(in string, all contexts, now status) (out string, err error) {
	out = placeholder.ReplaceAllStringFunc(in, func(found string) string {
		v, failed := evaluate(placeholder.FindStringSubmatch(found)[1], all, now)
		if failed != nil {
			err = failed
		}
		return text(v)
	})
	return out, err
}

var statusFunction = regexp.MustCompile(`\b(always|failure|success|cancelled)\s*\(`)

// holds evaluates an `if`, which is success() where there is none, and has it in front where it asks for no status.
func holds(condition *actionlint.String, all contexts, now status) (bool, error) {
	if condition == nil {
		return !now.failed, nil
	}
	expression := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(condition.Value), "${{"), "}}")
	v, err := evaluate(expression, all, now)
	if !statusFunction.MatchString(expression) && now.failed {
		return false, err
	}
	return truthy(v), err
}

func TestExpressionsMeanWhatGitHubSays(t *testing.T) {
	t.Parallel()
	all := contexts{
		"inputs": contexts{"url": "", "dry_run": true}, "vars": contexts{"cedana_url": "https://ci.example"}, "secrets": contexts{},
		"needs": contexts{"token": contexts{"outputs": contexts{"there": "true"}}}, "github": contexts{"workspace": "/w"},
	}
	for in, want := range map[string]string{
		"${{ inputs.url || vars.CEDANA_URL }}":       "https://ci.example",
		"${{ inputs.dry_run && '1' || '0' }}":        "1",
		"${{ secrets.CEDANA_AUTH_TOKEN }}":           "",
		"${{ github.workspace }}/.e2e":               "/w/.e2e",
		"${{ needs.token.outputs.there == 'true' }}": "true",
		"${{ needs.other.outputs.there }}":           "",
		"${{ !inputs.url }}":                         "true",
		"a-${{ 1 }}-${{ hashFiles('go.sum') }}":      "a-1-<hash>",
	} {
		got, err := fill(in, all, status{})
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, bad := range []string{"${{ nothing.x }}", "${{ fromJSON('1') }}", "${{ a b }}"} {
		_, err := fill(bad, all, status{})
		require.Error(t, err, bad)
	}
}

func TestAConditionIsSuccessUnlessItAsksForAStatus(t *testing.T) {
	t.Parallel()
	all := contexts{"needs": contexts{"token": contexts{"outputs": contexts{"there": "true"}}}}
	for condition, want := range map[string][2]bool{
		"":                                    {true, false},
		"always()":                            {true, true},
		"failure()":                           {false, true},
		"${{ success() }}":                    {true, false},
		"needs.token.outputs.there == 'true'": {true, false},
		"needs.token.outputs.there != 'true'": {false, false},
	} {
		var in *actionlint.String
		if condition != "" {
			in = &actionlint.String{Value: condition}
		}
		for i, failed := range []bool{false, true} {
			got, err := holds(in, all, status{failed})
			require.NoError(t, err)
			require.Equal(t, want[i], got, "%q after failure: %v", condition, failed)
		}
	}
}
