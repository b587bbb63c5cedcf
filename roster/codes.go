package roster

import (
	"slices"
	"strings"
)

// Region is a province-level region of GB/T 2260.
type Region struct {
	Code string // six digits
	Name string // in Chinese, as it starts an address
}

// Regions lists the 34 province-level regions in the order of their codes (GB/T 2260-2007).
func Regions() []Region { return slices.Clone(regions) }

func knownRegion(code string) bool {
	return slices.ContainsFunc(regions, func(r Region) bool { return r.Code == code })
}

var regions = []Region{
	{"110000", "北京市"},
	{"120000", "天津市"},
	{"130000", "河北省"},
	{"140000", "山西省"},
	{"150000", "内蒙古自治区"},
	{"210000", "辽宁省"},
	{"220000", "吉林省"},
	{"230000", "黑龙江省"},
	{"310000", "上海市"},
	{"320000", "江苏省"},
	{"330000", "浙江省"},
	{"340000", "安徽省"},
	{"350000", "福建省"},
	{"360000", "江西省"},
	{"370000", "山东省"},
	{"410000", "河南省"},
	{"420000", "湖北省"},
	{"430000", "湖南省"},
	{"440000", "广东省"},
	{"450000", "广西壮族自治区"},
	{"460000", "海南省"},
	{"500000", "重庆市"},
	{"510000", "四川省"},
	{"520000", "贵州省"},
	{"530000", "云南省"},
	{"540000", "西藏自治区"},
	{"610000", "陕西省"},
	{"620000", "甘肃省"},
	{"630000", "青海省"},
	{"640000", "宁夏回族自治区"},
	{"650000", "新疆维吾尔自治区"},
	{"710000", "台湾省"},
	{"810000", "香港特别行政区"},
	{"820000", "澳门特别行政区"},
}

// countries are the codes of ISO 3166-1 alpha-3, each followed by a space.
const countries = "ABW AFG AGO AIA ALA ALB AND ARE ARG ARM ASM ATA ATF ATG AUS AUT AZE BDI BEL BEN BES BFA BGD BGR BHR BHS BIH " +
	"BLM BLR BLZ BMU BOL BRA BRB BRN BTN BVT BWA CAF CAN CCK CHE CHL CHN CIV CMR COD COG COK COL COM CPV CRI CUB CUW CXR CYM CYP " +
	"CZE DEU DJI DMA DNK DOM DZA ECU EGY ERI ESH ESP EST ETH FIN FJI FLK FRA FRO FSM GAB GBR GEO GGY GHA GIB GIN GLP GMB GNB GNQ " +
	"GRC GRD GRL GTM GUF GUM GUY HKG HMD HND HRV HTI HUN IDN IMN IND IOT IRL IRN IRQ ISL ISR ITA JAM JEY JOR JPN KAZ KEN KGZ KHM " +
	"KIR KNA KOR KWT LAO LBN LBR LBY LCA LIE LKA LSO LTU LUX LVA MAC MAF MAR MCO MDA MDG MDV MEX MHL MKD MLI MLT MMR MNE MNG MNP " +
	"MOZ MRT MSR MTQ MUS MWI MYS MYT NAM NCL NER NFK NGA NIC NIU NLD NOR NPL NRU NZL OMN PAK PAN PCN PER PHL PLW PNG POL PRI PRK " +
	"PRT PRY PSE PYF QAT REU ROU RUS RWA SAU SDN SEN SGP SGS SHN SJM SLB SLE SLV SMR SOM SPM SRB SSD STP SUR SVK SVN SWE SWZ SXM " +
	"SYC SYR TCA TCD TGO THA TJK TKL TKM TLS TON TTO TUN TUR TUV TWN TZA UGA UKR UMI URY USA UZB VAT VCT VEN VGB VIR VNM VUT WLF " +
	"WSM YEM ZAF ZMB ZWE "

func knownCountry(code string) bool {
	return len(code) == 3 && !strings.Contains(code, " ") && strings.Contains(countries, code+" ")
}
