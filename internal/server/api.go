package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
)

// Door is what the API does for the service behind a gate; a [gate.Gate] does it.
type Door interface {
	OpenSession(ctx context.Context, in gate.SessionInput) (*gate.SessionOutput, error)
	Result(ctx context.Context, id, responseCode string) (*gate.SessionResult, error)
	AnswerDC(ctx context.Context, id string, in gate.DCInput) (*gate.SessionResult, error)
}

// ServiceDoor is a door and the digest (SHA-256) of the token that opens it to its service.
type ServiceDoor struct {
	Door
	Token [sha256.Size]byte
}

// apiPrefix is where the API is.
const apiPrefix = "/api/v1"

const apiText = `For the service behind a gate: ask a visitor's wallet, and learn what the published contract decides.

What a person is asked to show is the contract's to say, not the caller's. Every call carries the gate's
bearer token, which "hufu gate token" prints. A session is opened, answered once by a wallet, and its result
is read with the session's id; claims are handed over once, and only for a session that asked for them.`

// API is the JSON API, and its description (OpenAPI 3.1) at /openapi.json, made from the types of package
// gate. Doors are by name.
func API(doors map[string]ServiceDoor, version string, log *slog.Logger) http.Handler {
	c := huma.DefaultConfig("Hufu gate API", version)
	c.Info.Description = apiText
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"gate": {Type: "http", Scheme: "bearer", Description: "The gate's token, from \"hufu gate token\""},
	}
	c.Security = []map[string][]string{{"gate": {}}}
	mux := http.NewServeMux()
	a := &api{doors: doors, log: log}
	h := humago.New(mux, c)
	h.UseMiddleware(a.authorize(h))
	a.register(h)
	return mux
}

type api struct {
	doors map[string]ServiceDoor
	log   *slog.Logger
}

// errUnauthorized says the same of a gate that is not here and of a token that is not its.
const errUnauthorized = "not the token of this gate"

// authorize lets in who has the token of the gate in the path.
func (a *api) authorize(h huma.API) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		token, bearer := strings.CutPrefix(c.Header("Authorization"), "Bearer ")
		d, known := a.doors[c.Param("gate")]
		digest := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(digest[:], d.Token[:]) != 1 || !bearer || !known {
			c.SetHeader("WWW-Authenticate", `Bearer realm="gate"`)
			_ = huma.WriteErr(h, c, http.StatusUnauthorized, errUnauthorized)
			return
		}
		c.SetHeader("Cache-Control", "no-store")
		next(c)
	}
}

// GatePath names a gate in a path of the API.
type GatePath struct {
	Gate string `path:"gate" maxLength:"64" doc:"Name of the gate"`
}

// SessionPath names a session in a path of the API.
type SessionPath struct {
	GatePath
	Session string `path:"session" maxLength:"128" doc:"Id of a session"`
}

type (
	openInput struct {
		GatePath
		Body gate.SessionInput
	}
	openOutput  struct{ Body *gate.SessionOutput }
	resultInput struct {
		SessionPath
		ResponseCode string `query:"response_code" maxLength:"128" doc:"What the person's browser came back to return_uri with"`
	}
	resultOutput struct{ Body *gate.SessionResult }
	dcInput      struct {
		SessionPath
		Body gate.DCInput
	}
)

// openTimeout bounds how long opening a session may take; reading the ledger comes first.
const openTimeout = 10 * time.Second

func (a *api) register(h huma.API) {
	refusals := []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusServiceUnavailable}
	huma.Register(h, huma.Operation{
		OperationID: "open-session", Method: http.MethodPost, Path: apiPrefix + "/gates/{gate}/sessions", DefaultStatus: http.StatusCreated,
		Summary: "Ask a visitor", Description: "Opens a session for one of the gate's published contracts.", Errors: refusals, MaxBodyBytes: maxSmallBody, BodyReadTimeout: openTimeout,
	}, func(ctx context.Context, in *openInput) (*openOutput, error) {
		out, err := a.doors[in.Gate].OpenSession(ctx, in.Body)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &openOutput{out}, nil
	})
	huma.Register(h, huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: apiPrefix + "/gates/{gate}/sessions/{session}",
		Summary: "Learn what came of it", Description: "The state of a session, and once it was answered the decision and its signed receipt.", Errors: refusals,
	}, func(ctx context.Context, in *resultInput) (*resultOutput, error) {
		out, err := a.doors[in.Gate].Result(ctx, in.Session, in.ResponseCode)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &resultOutput{out}, nil
	})
	huma.Register(h, huma.Operation{
		OperationID: "answer-session", Method: http.MethodPost, Path: apiPrefix + "/gates/{gate}/sessions/{session}/dc",
		Summary: "Hand in an answer of the Digital Credentials API", Description: "What the service's page got from navigator.credentials.get.", Errors: refusals, MaxBodyBytes: maxBody, BodyReadTimeout: openTimeout,
	}, func(ctx context.Context, in *dcInput) (*resultOutput, error) {
		out, err := a.doors[in.Gate].AnswerDC(ctx, in.Session, in.Body)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return &resultOutput{out}, nil
	})
}

// statusOf are the statuses of refusals that are not about the request's content.
var statusOf = map[hufu.Rule]int{
	gate.RuleNotPublished: http.StatusNotFound,
	gate.RuleNoSession:    http.StatusNotFound,
	gate.RuleRetired:      http.StatusGone,
	gate.RuleResponseCode: http.StatusForbidden,
}

// problem is an error as the caller sees it (RFC 9457): a refusal in its own words, of which none are
// personal, and nothing of what else went wrong.
func (a *api) problem(ctx context.Context, err error) error {
	var refusal *hufu.Refusal
	if errors.As(err, &refusal) && !outage(refusal.Rule) {
		code, ok := statusOf[refusal.Rule]
		if !ok {
			code = http.StatusUnprocessableEntity
		}
		return &huma.ErrorModel{Status: code, Title: http.StatusText(code), Type: "urn:hufu:rule:" + string(refusal.Rule), Detail: refusal.Detail}
	}
	a.log.ErrorContext(ctx, "a gate cannot work", "err", err)
	return huma.Error503ServiceUnavailable("the ledger or the store cannot be reached now")
}

// outage tells a refusal of the ledger's node, which could not show the state, from one of the request.
func outage(rule hufu.Rule) bool {
	return strings.HasPrefix(string(rule), "client.") || strings.HasPrefix(string(rule), "proof.")
}
